//! The IMAP protocol, sans-I/O: types, framing, decoding and encoding, for servers and clients.

pub mod client;
pub mod decode;
pub mod encode;
pub mod frame;
pub mod types;
