//! UIDBATCHES (RFC 10022).

use std::num::NonZeroU32;

use restante_proto::types::{Code, Tag, Uid as WireUid, UntaggedData};

use crate::cx::Cx;
use crate::reply::{Outcome, Reply, client_bug};
use crate::state::State;
use crate::view::View;

/// RFC 10022 §3.1.3.2
const SIZE_MIN: u32 = 500;
/// The most messages that a range of batches may span (RFC 10022 §3.1.5).
const SPAN_MAX: u64 = 100_000;
/// The most batches that are told at once, where all are asked for.
const BATCHES_MAX: u64 = 2_000;

pub(crate) async fn run(
    cx: &mut Cx,
    state: &mut State,
    tag: Tag,
    size: NonZeroU32,
    batches: Option<(NonZeroU32, NonZeroU32)>,
) -> Outcome {
    let (_, selected) = state.selected()?;
    let view = &selected.view;
    let (size, exists) = (size.get(), view.exists());
    if size < SIZE_MIN {
        let reply = Reply::no("Minimum batch size is 500");
        return Err(reply.code(Code::TooFew).into());
    }
    let all = u64::from(exists.div_ceil(size));
    let (first, last) = match batches {
        Some((first, last)) if first > last => {
            return Err(client_bug("Invalid batch range"));
        }
        Some((first, last)) => {
            let (first, last) = (u64::from(first.get()), u64::from(last.get()));
            if (last - first + 1).saturating_mul(size.into()) > SPAN_MAX {
                let reply = Reply::no("Too many messages");
                return Err(reply.code(Code::TooMany).into());
            }
            (first, last.min(all))
        }
        None if all > BATCHES_MAX => {
            let reply = Reply::no("Too many messages in mailbox");
            return Err(reply.code(Code::TooMany).into());
        }
        None => (1, all),
    };
    let mut ranges = Vec::new();
    for batch in first..=last {
        let newest = above(view, size, batch - 1).await?;
        let oldest = above(view, size, batch).await?.map(|uid| uid + 1);
        let range = newest.zip(oldest);
        let range = range.and_then(|(from, to)| Some((WireUid::new(from)?, WireUid::new(to)?)));
        ranges.extend(range);
    }
    cx.data(&UntaggedData::UidBatches { tag, ranges });
    Ok(Reply::ok("UIDBATCHES completed"))
}

/// The largest UID that is older than the messages of the first `batches`: the border below them. The ranges
/// touch, the newest ends at UIDNEXT and the oldest at 1 (RFC 10022 §3.1.4).
async fn above(view: &View, size: u32, batches: u64) -> Result<Option<u32>, crate::reply::Failure> {
    if batches == 0 {
        return Ok(Some(view.snapshot().uid_next().get() - 1));
    }
    let passed = batches.saturating_mul(size.into());
    match u64::from(view.exists()).checked_sub(passed) {
        None | Some(0) => Ok(Some(0)),
        Some(number) => {
            let number = u32::try_from(number).unwrap_or(u32::MAX);
            Ok(view.uid_of(number).await?.map(|uid| uid.get()))
        }
    }
}
