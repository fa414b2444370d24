//! IMAP semantics of one connection: states, view, commands; no sockets.
