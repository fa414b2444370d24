//! MESSAGELIMIT and SAVELIMIT (RFC 9738): how many messages one command works on.
//!
//! SEARCH, FETCH, STORE, MOVE and UID EXPUNGE work on those with the highest UIDs and say where they stopped;
//! COPY and APPEND, which are atomic, do nothing. EXPUNGE, CLOSE and STATUS have no limit, SORT and ESEARCH
//! neither: the keys of SORT are kept for every message.

use std::num::NonZeroU32;

use restante_mailbox::{Uid, UidSet, Wanted};
use restante_proto::types::Code;

use crate::convert;
use crate::cx::Cx;
use crate::reply::{Failure, Reply};
use crate::state::Selected;

/// What a command was cut to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limited {
    limit: NonZeroU32,
    /// The lowest UID that was processed.
    lowest: Option<Uid>,
}

impl Limited {
    pub(crate) fn code(self) -> Code {
        Code::MessageLimit {
            limit: self.limit,
            lowest: self.lowest.and_then(convert::wire_uid),
        }
    }

    /// The answer to a command that does all or nothing.
    pub(crate) fn refusal(self) -> Failure {
        let reply = Reply::no("Too many messages for one command");
        reply.code(self.code()).into()
    }
}

impl Cx {
    /// The most messages of one command.
    pub(crate) fn message_limit(&self) -> Option<NonZeroU32> {
        let limit = self.env.limits.messages_max;
        limit.filter(|_| !self.hides("MESSAGELIMIT"))
    }

    /// The most messages of one COPY or APPEND.
    pub(crate) fn save_limit(&self) -> Option<NonZeroU32> {
        let limit = self.env.limits.saved_messages_max;
        let limit = limit.filter(|_| !self.hides("SAVELIMIT"));
        self.message_limit().into_iter().chain(limit).min()
    }

    /// Notes that a command was cut to these messages, so that its answer says so.
    pub(crate) fn limit_to(&mut self, limit: NonZeroU32, uids: &UidSet) {
        self.limited = Some(limited(limit, uids));
    }
}

/// More than so many messages in an atomic command.
pub(crate) fn exceeded(limit: NonZeroU32) -> Failure {
    limited(limit, &UidSet::new()).refusal()
}

pub(crate) fn limited(limit: NonZeroU32, uids: &UidSet) -> Limited {
    Limited {
        limit,
        lowest: uids.first(),
    }
}

/// Those messages with the highest UIDs that a command works on, if it cannot work on all of `uids`; none are
/// all messages.
pub(crate) async fn highest(
    selected: &Selected,
    uids: Option<&UidSet>,
    limit: NonZeroU32,
) -> Result<Option<UidSet>, Failure> {
    let view = &selected.view;
    let most = u64::from(limit.get());
    let is_few = uids.is_some_and(|uids| uids.len() <= most);
    if is_few || u64::from(view.exists()) <= most {
        return Ok(None);
    }
    let there: UidSet = match uids {
        Some(uids) => {
            let rows = view.rows(uids).await?;
            rows.iter(uids).map(|(_, row)| row.uid).collect()
        }
        None => {
            let rows = view.load(Wanted::All).await?;
            rows.loaded().uids().union(&view.ghosts())
        }
    };
    Ok(cut(&there, limit))
}

/// The highest of these UIDs, if there are more than the limit.
pub(crate) fn cut(uids: &UidSet, limit: NonZeroU32) -> Option<UidSet> {
    let (count, most) = (uids.len(), u64::from(limit.get()));
    (count > most).then(|| uids.slice(count - most..count))
}
