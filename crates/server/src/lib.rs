//! Listeners, TLS, LMTP, limits, configuration and control of the Restante server.
//!
//! [`serve`](crate::run::serve) runs a server from a [`config::Config`] until it is told to stop.
//! The IMAP semantics are in `restante-session`; here are sockets, time, files and processes.

pub mod config;
pub mod logging;
