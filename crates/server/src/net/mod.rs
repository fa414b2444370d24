//! Sockets: listening, limits on connections, streams with and without TLS.

mod admission;
mod certificate;
mod listener;
mod stream;

pub(crate) use admission::{Admission, Refused, Seats, network};
pub(crate) use listener::{Bound, accept_loop, bind};
pub(crate) use stream::Stream;
