//! COMPRESS (RFC 4978 §3).

use restante_proto::types::Code;

use crate::cx::Cx;
use crate::reply::{Failure, Outcome, Reply};

/// Whether compression can begin; the session's loop sends the OK and begins.
pub(crate) fn run(cx: &mut Cx) -> Outcome {
    if cx.conn.is_compressed() {
        let reply = Reply::bad("DEFLATE is active already").code(Code::CompressionActive);
        return Err(reply.into());
    }
    Err(Failure::Compress(Reply::ok("DEFLATE active")))
}
