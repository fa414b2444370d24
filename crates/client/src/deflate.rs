//! The compression layer of COMPRESS=DEFLATE (RFC 4978).

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use crate::error::{Error, Result};

/// What is unpacked or packed at once, in octets.
const STEP: usize = 16 << 10;

/// Both directions of a connection.
pub(crate) struct Deflate {
    pack: Compress,
    unpack: Decompress,
    /// The server has ended its stream: what follows is none of it.
    ended: bool,
}

impl Deflate {
    pub(crate) fn new() -> Self {
        Self {
            pack: Compress::new(Compression::fast(), false),
            unpack: Decompress::new(false),
            ended: false,
        }
    }

    /// Whether the server has ended its stream.
    pub(crate) fn is_ended(&self) -> bool {
        self.ended
    }

    /// Appends octets to what goes to the server, so that it can read all of them.
    pub(crate) fn pack(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let begin = self.pack.total_in();
        loop {
            let done = usize::try_from(self.pack.total_in() - begin).unwrap_or(plain.len());
            out.reserve(STEP);
            let packed = self
                .pack
                .compress_vec(&plain[done..], out, FlushCompress::Sync);
            packed.map_err(|_| Error::Protocol("what is sent cannot be compressed"))?;
            let all = self.pack.total_in() - begin == plain.len() as u64;
            if all && out.len() < out.capacity() {
                return Ok(());
            }
        }
    }

    /// Hands over what octets from the server stand for, in pieces of bounded size.
    pub(crate) fn unpack(&mut self, input: &[u8], mut plain: impl FnMut(&[u8])) -> Result<()> {
        let begin = self.unpack.total_in();
        let mut space = vec![0; STEP];
        while !self.ended {
            let done = usize::try_from(self.unpack.total_in() - begin).unwrap_or(input.len());
            let before = self.unpack.total_out();
            let status = self
                .unpack
                .decompress(&input[done..], &mut space, FlushDecompress::Sync);
            let status = status.map_err(|_| Error::Protocol("what came is no DEFLATE"))?;
            let made = usize::try_from(self.unpack.total_out() - before).unwrap_or(0);
            plain(&space[..made]);
            self.ended = status == Status::StreamEnd;
            let all = self.unpack.total_in() - begin == input.len() as u64;
            if all && made < space.len() {
                break;
            }
        }
        Ok(())
    }
}
