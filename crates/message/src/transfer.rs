//! Content-Transfer-Encoding taken off, piece by piece (RFC 2045 §6).

/// The encoding of a part is none that we know: `NO [UNKNOWN-CTE]` (RFC 9051 §6.4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown content transfer encoding")]
pub struct UnknownEncoding;
