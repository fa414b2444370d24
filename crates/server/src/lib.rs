//! Listeners, TLS, LMTP, limits, configuration and control of the Restante server.
//!
//! The IMAP semantics are in `restante-session`; here are sockets, time, files and processes.
#![allow(dead_code)]

pub mod config;
mod files;
mod lmtp;
pub mod logging;
mod net;
mod time;
pub mod tls;
