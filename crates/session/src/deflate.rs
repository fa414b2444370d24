//! The compression layer of COMPRESS=DEFLATE (RFC 4978; RFC 1951).
//!
//! A compressor costs a third of a megabyte, so a connection has none: each thread has one, and it
//! is made to go on from where the connection is by giving it the end of what was sent as its
//! dictionary. That is sound because every write ends with a sync flush, at a byte boundary, and the
//! client's decompressor still has what the dictionary says. The decompressor cannot be shared: it
//! holds the 32 KiB that the client may refer to.

use std::cell::RefCell;
use std::io;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

/// Between speed and size: the least that finds most of what repeats in responses.
const LEVEL: u32 = 4;
/// Compressed at once.
const PACK_BYTES: usize = 64 << 10;
/// How far back DEFLATE can refer.
const WINDOW_BYTES: usize = 32 << 10;
/// What a connection keeps of what it has sent; responses look like those just before them.
const REMEMBERED_BYTES: usize = 4 << 10;

thread_local! {
    static COMPRESSOR: RefCell<Compress> =
        RefCell::new(Compress::new(Compression::new(LEVEL), false));
}

/// The layer on one connection.
pub(crate) struct Deflate {
    inflate: Decompress,
    /// Compressed bytes that have come and are not unpacked yet: at most one read.
    input: Vec<u8>,
    /// How many of them are unpacked.
    taken: usize,
    /// Whether the last unpacking filled its buffer, so that more may come out without more input.
    more: bool,
    /// The client has ended its stream with a final block.
    ended: bool,
    /// The end of what was sent, before compression.
    sent: Vec<u8>,
}

impl Deflate {
    /// Begins; `input` has come already.
    pub(crate) fn new(input: &[u8]) -> Deflate {
        Deflate {
            inflate: Decompress::new(false),
            input: input.to_vec(),
            taken: 0,
            more: false,
            ended: false,
            sent: Vec::new(),
        }
    }

    /// Takes compressed bytes.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    /// Unpacks into `plain` and says how much came out; 0: more input is needed. An idle connection
    /// keeps no input buffer.
    ///
    /// # Errors
    /// What came is not DEFLATE.
    pub(crate) fn unpack(&mut self, plain: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.ended || (self.taken == self.input.len() && !self.more) {
                return Ok(0);
            }
            let (before_in, before_out) = (self.inflate.total_in(), self.inflate.total_out());
            // Never past a flush at once: what follows may be no DEFLATE any more (UNAUTHENTICATE).
            let input = &self.input[self.taken..];
            let flush = input.windows(4).position(|four| four == [0, 0, 0xff, 0xff]);
            let input = &input[..flush.map_or(input.len(), |at| at + 4)];
            // A partial flush of the client may end within a byte: everything that can come out does.
            let status = self
                .inflate
                .decompress(input, plain, FlushDecompress::Sync)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            let taken = (self.inflate.total_in() - before_in) as usize;
            let produced = (self.inflate.total_out() - before_out) as usize;
            self.taken = (self.taken + taken).min(self.input.len());
            self.more = produced == plain.len();
            self.ended = status == Status::StreamEnd;
            if self.taken == self.input.len() {
                self.input = Vec::new();
                self.taken = 0;
            }
            if produced > 0 {
                return Ok(produced);
            }
            if taken == 0 && !self.ended && !self.input.is_empty() {
                let text = "the compressed stream does not go on";
                return Err(io::Error::new(io::ErrorKind::InvalidData, text));
            }
        }
    }

    /// What has come and is not unpacked.
    pub(crate) fn rest(&self) -> &[u8] {
        &self.input[self.taken..]
    }

    /// Whether the client has ended its stream, as some do before they close the connection.
    pub(crate) fn input_ended(&self) -> bool {
        self.ended
    }

    /// Compresses a piece of `out` from `from` on, so that the client can read all of it; says where
    /// the next piece begins. After the last one comes [`Deflate::remember`].
    ///
    /// # Errors
    /// None that is known.
    pub(crate) fn pack(&self, out: &[u8], from: usize) -> io::Result<(Vec<u8>, usize)> {
        let to = out.len().min(from + PACK_BYTES);
        let dictionary = match from {
            0 => &self.sent[..],
            from => &out[from.saturating_sub(WINDOW_BYTES)..from],
        };
        let packed = COMPRESSOR
            .with_borrow_mut(|compressor| pack(compressor, dictionary, &out[from..to]))
            .map_err(io::Error::other)?;
        Ok((packed, to))
    }

    /// Notes that `out` was sent.
    pub(crate) fn remember(&mut self, out: &[u8]) {
        let new = &out[out.len().saturating_sub(REMEMBERED_BYTES)..];
        let keep = (REMEMBERED_BYTES - new.len()).min(self.sent.len());
        self.sent.drain(..self.sent.len() - keep);
        self.sent.extend_from_slice(new);
    }
}

fn pack(
    compressor: &mut Compress,
    dictionary: &[u8],
    plain: &[u8],
) -> Result<Vec<u8>, flate2::CompressError> {
    compressor.reset();
    if !dictionary.is_empty() {
        compressor.set_dictionary(dictionary)?;
    }
    let mut packed = Vec::with_capacity(plain.len() / 2 + 64);
    loop {
        let rest = &plain[(compressor.total_in() as usize).min(plain.len())..];
        compressor.compress_vec(rest, &mut packed, FlushCompress::Sync)?;
        // A flush is complete when it leaves room.
        if packed.len() < packed.capacity() {
            return Ok(packed);
        }
        packed.reserve(packed.len().max(64));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inflate(client: &mut Decompress, mut packed: &[u8]) -> Vec<u8> {
        let mut plain = Vec::new();
        loop {
            let before = client.total_in();
            plain.reserve(1 << 16);
            let had = plain.len();
            client
                .decompress_vec(packed, &mut plain, FlushDecompress::Sync)
                .expect("DEFLATE");
            packed = &packed[(client.total_in() - before) as usize..];
            if packed.is_empty() && plain.len() == had {
                return plain;
            }
        }
    }

    /// Bytes that compress badly.
    fn noise(len: usize) -> Vec<u8> {
        let mut state = 1u64;
        let step = |_| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1);
            (state >> 56) as u8
        };
        (0..len).map(step).collect()
    }

    #[test]
    fn one_stream_though_the_compressor_is_shared() {
        let (mut a, mut b) = (Deflate::new(b""), Deflate::new(b""));
        let (mut client_a, mut client_b) = (Decompress::new(false), Decompress::new(false));
        let mut sizes = Vec::new();
        for n in 0..200 {
            for (server, client, name) in
                [(&mut a, &mut client_a, "a"), (&mut b, &mut client_b, "b")]
            {
                let mut plain =
                    format!("* {n} FETCH (UID {n} FLAGS (\\Seen $Junk) MODSEQ (9{n})) {name}\r\n")
                        .into_bytes();
                if n % 50 == 49 {
                    plain.extend(noise(200_000));
                    plain.extend(plain.clone());
                }
                let mut from = 0;
                let mut got = Vec::new();
                while from < plain.len() {
                    let (packed, to) = server.pack(&plain, from).expect("packs");
                    sizes.push(packed.len());
                    got.extend(inflate(client, &packed));
                    from = to;
                }
                server.remember(&plain);
                assert!(server.sent.len() <= REMEMBERED_BYTES);
                assert!(got == plain, "{name} {n}");
            }
        }
        assert!(sizes[20] < 40, "the dictionary helps: {}", sizes[20]);
    }

    fn deflate(plain: &[u8], flush: FlushCompress) -> Vec<u8> {
        let mut packed = Vec::with_capacity(plain.len() + 1024);
        Compress::new(Compression::default(), false)
            .compress_vec(plain, &mut packed, flush)
            .expect("packs");
        packed
    }

    fn unpack_all(layer: &mut Deflate, size: usize) -> io::Result<Vec<u8>> {
        let mut plain = Vec::new();
        let mut buffer = vec![0; size];
        loop {
            match layer.unpack(&mut buffer)? {
                0 => return Ok(plain),
                len => plain.extend_from_slice(&buffer[..len]),
            }
        }
    }

    #[test]
    fn a_bomb_comes_out_in_pieces() {
        let zeros = vec![0; 20 << 20];
        let mut layer = Deflate::new(&deflate(&zeros, FlushCompress::Sync));
        assert!(layer.input.len() < 32 << 10);
        let plain = unpack_all(&mut layer, 16 << 10).expect("unpacks");
        assert_eq!(plain.len(), zeros.len());
        assert_eq!(layer.input.capacity(), 0, "nothing is kept");
    }

    #[test]
    fn partial_flushes_single_bytes_and_ends() {
        for flush in [
            FlushCompress::Partial,
            FlushCompress::Sync,
            FlushCompress::Full,
        ] {
            let mut layer = Deflate::new(b"");
            let mut plain = Vec::new();
            for byte in deflate(b"a NOOP\r\n", flush) {
                layer.push(&[byte]);
                plain.extend(unpack_all(&mut layer, 3).expect("unpacks"));
            }
            assert_eq!(plain, b"a NOOP\r\n", "{flush:?}");
            assert!(!layer.input_ended());
        }
        let mut layer = Deflate::new(&deflate(b"a LOGOUT\r\n", FlushCompress::Finish));
        assert_eq!(
            unpack_all(&mut layer, 64).expect("unpacks"),
            b"a LOGOUT\r\n"
        );
        assert!(layer.input_ended());
    }

    #[test]
    fn empty_flushes_hide_nothing() {
        let mut client = Compress::new(Compression::default(), false);
        let mut packed = Vec::with_capacity(4096);
        for piece in [&b"a NOOP\r\n"[..], b"", b"", b"b NOOP\r\n"] {
            for flush in [
                FlushCompress::Sync,
                FlushCompress::Full,
                FlushCompress::Partial,
            ] {
                client
                    .compress_vec(piece, &mut packed, flush)
                    .expect("packs");
            }
        }
        // An empty block that the library above leaves out.
        packed.splice(0..0, [0, 0, 0, 0xff, 0xff, 0, 0, 0, 0xff, 0xff]);
        let mut layer = Deflate::new(&packed);
        let mut buffer = [0; 64];
        let mut plain = Vec::new();
        for _ in 0..6 {
            // A connection that gets nothing reads, and would wait: nothing comes only at the end.
            let len = layer.unpack(&mut buffer).expect("unpacks");
            assert!(len > 0, "{plain:?}");
            plain.extend_from_slice(&buffer[..len]);
        }
        assert_eq!(
            plain,
            b"a NOOP\r\n"
                .repeat(3)
                .into_iter()
                .chain(b"b NOOP\r\n".repeat(3))
                .collect::<Vec<u8>>()
        );
        assert_eq!(layer.unpack(&mut buffer).expect("unpacks"), 0);
    }

    #[test]
    fn what_is_no_deflate_is_an_error() {
        let mut layer = Deflate::new(&[0xff; 64]);
        assert!(unpack_all(&mut layer, 64).is_err());
    }
}
