//! Sockets: listening, limits on connections, streams with and without TLS.

mod admission;
mod certificate;
mod listener;
mod proxy;
mod stream;

pub(crate) use admission::{Admission, Refused, Seats, network};
pub(crate) use certificate::host_names;
pub(crate) use listener::{Bound, accept_loop, bind};
pub(crate) use proxy::client_behind;
pub(crate) use stream::Stream;
