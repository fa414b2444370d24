//! The client's half of the protocol: bytes of a server to responses, commands to bytes.
//!
//! [`ResponseFramer`] cuts a stream into whole responses, [`decode_response`] reads one:
//!
//! ```
//! use restante_proto::client::{Mode, ResponseEvent, ResponseFramer, ResponseLimits};
//! use restante_proto::client::decode_response;
//! use restante_proto::types::{Response, UntaggedData};
//!
//! let mut framer = ResponseFramer::new(ResponseLimits::default());
//! framer.push(b"* 23 EXISTS\r\n");
//! let Ok(Some(ResponseEvent::Frame(frame))) = framer.next_event() else { panic!() };
//! let response = decode_response(&frame, Mode::Strict);
//! assert_eq!(response, Ok(Response::Data(UntaggedData::Exists(23))));
//! ```

mod body;
mod body_decode;
mod code;
mod cursor;
mod data;
mod decode;
mod encode;
mod encode_search;
mod extensions;
mod fetch;
mod frame;
mod out;
mod parts;
mod tree;

pub use cursor::{Mode, ResponseDecodeError};
pub use decode::{FetchedMessage, StreamedFetch, decode_response, decode_streamed};
pub use encode::{AppendEncoder, AppendMessage, Catenated, encode_command};
pub use frame::{
    FrameLiteral, ResponseEvent, ResponseFrame, ResponseFrameError, ResponseFramer, ResponseLimits,
};

pub use out::{CommandEncodeError, CommandEncoding, EncodedCommand, LiteralSupport};

#[cfg(test)]
mod encode_tests;
#[cfg(test)]
mod tests;
