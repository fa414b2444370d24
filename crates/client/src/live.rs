//! Results of searches that the server keeps up to date (CONTEXT, RFC 5267).

use std::num::NonZeroU32;

use restante_proto::types::{
    Code, CommandBody, IdSet, Search, SearchReturn, Sort, Tag, UntaggedData,
};

use crate::client::{Client, Untagged};
use crate::error::{Error, Result};

/// More numbers than any mailbox has messages to find: a server that tells more is not believed.
const NUMBERS_MAX: usize = 20_000_000;

/// What a search or a sort found, as the server keeps it up to date: give it what comes unsolicited.
///
/// ```no_run
/// # use restante_client::{Client, types::*};
/// # async fn example(client: &mut Client) -> Result<(), restante_client::Error> {
/// let search = Search { uid: true, returns: None, charset: None, key: SearchKey::Unseen };
/// let mut unread = client.search_live(search).await?;
/// client.noop().await?;
/// for untagged in client.take_unsolicited() {
///     if unread.take(&untagged) {
///         println!("now {} are not read", unread.ids().len());
///     }
/// }
/// client.cancel_update(&[unread]).await
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveResult {
    tag: Tag,
    uid: bool,
    ids: Vec<NonZeroU32>,
    live: bool,
}

impl LiveResult {
    /// UIDs, or message numbers if the command was not a UID command; in the order of the sort.
    pub fn ids(&self) -> &[NonZeroU32] {
        &self.ids
    }

    /// Whether the server still keeps it up to date, and all it told could be done.
    pub fn is_live(&self) -> bool {
        self.live
    }

    /// Takes in what the server tells; false if that is about other things. Message numbers follow
    /// EXPUNGE as well.
    pub fn take(&mut self, untagged: &Untagged) -> bool {
        match untagged {
            Untagged::Data(UntaggedData::Esearch(esearch))
                if esearch.correlator.tag.as_ref() == Some(&self.tag) =>
            {
                for change in &esearch.changes {
                    self.live &= change.apply(&mut self.ids, NUMBERS_MAX);
                }
                !esearch.changes.is_empty()
            }
            Untagged::Data(UntaggedData::Expunge(seq)) if !self.uid => {
                let gone = seq.get();
                self.ids.retain(|id| id.get() != gone);
                for id in &mut self.ids {
                    if id.get() > gone {
                        *id = NonZeroU32::new(id.get() - 1).unwrap_or(NonZeroU32::MIN);
                    }
                }
                true
            }
            Untagged::Status(status) => match &status.code {
                Some(Code::NoUpdate(tag)) if tag == self.tag.as_str().as_bytes() => {
                    self.live = false;
                    true
                }
                _ => false,
            },
            Untagged::Data(_) => false,
        }
    }
}

impl Client {
    /// SEARCH with UPDATE (RFC 5267 §4.3): its return options are not used.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn search_live(&mut self, search: Search) -> Result<LiveResult> {
        let (uid, returns) = (search.uid, live());
        self.live(uid, CommandBody::Search(Search { returns, ..search }))
            .await
    }

    /// SORT with UPDATE, as [`search_live`](Self::search_live).
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn sort_live(&mut self, sort: Sort) -> Result<LiveResult> {
        let (uid, returns) = (sort.uid, live());
        self.live(uid, CommandBody::Sort(Sort { returns, ..sort }))
            .await
    }

    async fn live(&mut self, uid: bool, body: CommandBody) -> Result<LiveResult> {
        let started = self.start(body).await?;
        let mut result = LiveResult {
            tag: started.tag.clone(),
            uid,
            ids: Vec::new(),
            live: true,
        };
        let reply = self.finish(started).await?;
        for untagged in reply.untagged {
            match untagged {
                Untagged::Data(UntaggedData::Esearch(esearch))
                    if esearch.correlator.tag.as_ref() == Some(&result.tag)
                        && esearch.changes.is_empty() =>
                {
                    result.ids.extend(in_order(esearch.all.as_ref())?);
                }
                untagged => {
                    result.take(&untagged);
                    self.deliver(untagged);
                }
            }
        }
        Ok(result)
    }

    /// CANCELUPDATE: these results are not kept up to date any longer (RFC 5267 §4.3.5).
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn cancel_update(&mut self, results: &[LiveResult]) -> Result<()> {
        if results.is_empty() {
            return Ok(());
        }
        let tags = results
            .iter()
            .map(|result| result.tag.as_str().as_bytes().to_vec());
        self.simple(CommandBody::CancelUpdate(tags.collect())).await
    }
}

/// The numbers of an ESEARCH's ALL in the order in which they stand, which is that of a sort.
pub(crate) fn in_order(all: Option<&IdSet>) -> Result<Vec<NonZeroU32>> {
    let mut ids = Vec::new();
    let ranges = all.iter().flat_map(|all| &all.ranges);
    for (first, last) in ranges.filter_map(|range| range.numbers()) {
        let count = last.get().saturating_sub(first.get()) as usize;
        if ids.len() + count >= NUMBERS_MAX {
            return Err(Error::Protocol("more was found than there can be"));
        }
        ids.extend((first.get()..=last.get()).filter_map(NonZeroU32::new));
    }
    Ok(ids)
}

fn live() -> Option<SearchReturn> {
    Some(SearchReturn {
        all: true,
        update: Some(Vec::new()),
        ..SearchReturn::default()
    })
}
