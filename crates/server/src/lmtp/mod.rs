//! LMTP (RFC 2033): how a mail server delivers here.

mod address;
mod command;
mod data;
