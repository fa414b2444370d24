//! The IMAP protocol, sans-I/O: types, framing, decoding and encoding, for servers and clients.
//!
//! A server pushes bytes into a [`frame::Framer`], decodes the commands it finds with
//! [`decode::decode`] and appends responses to a buffer with [`encode::Writer`]. A client's half
//! of the same is in [`client`]. Both speak in the [`types`].
//!
//! Nothing here does I/O, knows a clock or a mailbox, or decides what a command may do. Nothing
//! that comes from the other side panics, recurses without bound or takes memory without limit.
//!
//! ```
//! use restante_proto::decode::{DecodeOptions, decode};
//! use restante_proto::encode::Writer;
//! use restante_proto::frame::{Event, Framer, Limits};
//! use restante_proto::types::{CommandBody, Condition};
//!
//! let mut framer = Framer::new(Limits::before_login());
//! framer.push(b"a1 NOOP\r\na2 FRO");
//! let mut out = Vec::new();
//! while let Some(event) = framer.next() {
//!     let Event::Command(frame) = event else { continue };
//!     match decode(frame, &DecodeOptions::default()) {
//!         Ok(command) => {
//!             assert_eq!(command.body, CommandBody::Noop);
//!             let mut writer = Writer::new(&mut out, false);
//!             writer.status_line(Some(&command.tag), Condition::Ok, None, "NOOP completed");
//!         }
//!         Err(error) => panic!("{error}"),
//!     }
//! }
//! assert_eq!(out, b"a1 OK NOOP completed\r\n");
//! ```

pub mod client;
pub mod decode;
pub mod encode;
pub mod frame;
pub mod types;
