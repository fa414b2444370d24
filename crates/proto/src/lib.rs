//! The IMAP protocol, sans-I/O: types, framing, decoding and encoding, for servers and clients.

pub mod client;
pub mod types;
