//! RFC 5322 and MIME messages to byte offsets, for any bytes whatever.

mod address;
mod bodystructure;
mod codec;
mod content;
mod envelope;
mod header;
mod imap;
mod limits;
mod message;
mod parser;
mod structure;
mod transfer;

pub use address::{Address, addresses};
pub use header::{Field, Fields, field, fields, header_fields, unfold};
pub use imap::Strings;
pub use limits::Limits;
pub use message::Message;
pub use parser::{Parser, parse, parse_with};
pub use structure::{Encoding, Kind, Part, SectionText, Structure};
pub use transfer::UnknownEncoding;
