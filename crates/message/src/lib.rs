//! RFC 5322 and MIME messages to byte offsets, for any bytes whatever.
//!
//! [`Parser`] reads a message in pieces of any size and never fails. Its [`Message`] gives what
//! a mailbox keeps of it: [`Structure`] (where the parts are), ENVELOPE and BODYSTRUCTURE ready
//! to send, [`SortKeys`] and a preview. From a stored [`Structure`] the sections of the message
//! are found without reading it again; [`Decoder`] and [`TextDecoder`] read them.
//!
//! The crate does no I/O and knows no clock. It does not verify signatures, does not render HTML
//! and changes no octet of a message.
//!
//! ```
//! use restante_message::{SectionText, Strings, parse};
//!
//! let text = b"Subject: hi\r\nContent-Type: text/plain\r\n\r\nHello\r\n";
//! let message = parse(text);
//! let mut envelope = Vec::new();
//! message.envelope(Strings::Literal, &mut envelope);
//! assert_eq!(envelope, b"(NIL \"hi\" NIL NIL NIL NIL NIL NIL NIL NIL)");
//! let body = message.structure().section(&[1], SectionText::Whole);
//! assert_eq!(body, Some(41..48));
//! ```

mod address;
mod bodystructure;
mod charset;
mod codec;
mod content;
mod date;
mod encoded_word;
mod envelope;
mod header;
mod imap;
mod known;
mod limits;
mod message;
mod message_id;
mod parser;
mod preview;
mod sort;
mod structure;
mod subject;
mod text;
mod transfer;

pub use address::{Address, addresses};
pub use charset::{CharsetDecoder, TextDecoder, is_known_charset};
pub use date::{SentDate, parse_date};
pub use encoded_word::decode_header;
pub use header::{Field, FieldNames, Fields, field, fields, header_fields, unfold};
pub use imap::Strings;
pub use limits::Limits;
pub use message::Message;
pub use message_id::{MessageIdHash, message_ids};
pub use parser::{Parser, parse, parse_with};
pub use sort::SortKeys;
pub use structure::{Encoding, Kind, Part, SectionText, Structure};
pub use subject::{BaseSubject, base_subject};
pub use text::{TextSource, decode_header_text, decode_header_value};
pub use transfer::{Decoder, Measure, UnknownEncoding};
