//! What a message may cost.

/// Bounds on what the parser keeps and descends into; every message parses, whatever they are.
///
/// Offsets and sizes stay exact beyond the limits; only the interpretation stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Nesting depth (the message itself is 1). A multipart or message/rfc822 part at this depth
    /// becomes an opaque leaf.
    pub depth: u32,
    /// Parts in all. When they are used up the last part extends to the end of the message.
    pub parts: u32,
    /// Octets of header text kept for interpretation, all parts together.
    pub header_bytes: u32,
    /// Addresses written in all ENVELOPEs of one message together; further ones are left out.
    pub addresses: u32,
    /// Octets kept of each of the first text parts, for the preview.
    pub preview_bytes: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            depth: 100,
            parts: 10_000,
            header_bytes: 4 << 20,
            addresses: 16_384,
            preview_bytes: 32 << 10,
        }
    }
}
