//! Selected state: SEARCH, SORT, THREAD, FETCH, STORE, COPY, MOVE, EXPUNGE.

use std::num::NonZeroU32;

use bytes::Bytes;
use restante_proto::client::{FetchedMessage, StreamedFetch};
use restante_proto::types::{
    BodyStructure, Code, CommandBody, CopyUid, Envelope, Esearch, EsearchCommand, Fetch,
    FetchAttribute, FetchItem, FetchModifiers, Flag, IdSet, MailboxName, MessageSet, ModSeq,
    Search, SearchKey, SearchReturn, Section, SeqNum, Sort, SortCriterion, SortKey, Store,
    StoreAction, Tag, Thread, ThreadNode, Uid, UidSet, UntaggedData,
};

use crate::client::{Client, Started, Untagged};
use crate::connection::Incoming;
use crate::error::{Error, Result};
use crate::live::in_order;

/// One FETCH response.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fetched {
    /// The message's sequence number; none in a UIDFETCH response (RFC 9586).
    pub seq: Option<SeqNum>,
    /// What it says.
    pub items: Vec<FetchItem>,
}

macro_rules! item {
    ($(#[$doc:meta])* $name:ident, $pattern:pat => $value:expr, $type:ty) => {
        $(#[$doc])*
        pub fn $name(&self) -> Option<$type> {
            self.items.iter().find_map(|item| match item {
                $pattern => Some($value),
                _ => None,
            })
        }
    };
}

impl Fetched {
    item!(
        /// UID
        uid, FetchItem::Uid(uid) => *uid, Uid
    );
    item!(
        /// FLAGS
        flags, FetchItem::Flags(flags) => &flags[..], &[Flag]
    );
    item!(
        /// MODSEQ
        mod_seq, FetchItem::ModSeq(mod_seq) => *mod_seq, ModSeq
    );
    item!(
        /// RFC822.SIZE, in octets
        size, FetchItem::Rfc822Size(size) => *size, u64
    );
    item!(
        /// ENVELOPE
        envelope, FetchItem::Envelope(envelope) => &**envelope, &Envelope
    );
    item!(
        /// BODYSTRUCTURE, or else BODY
        body_structure,
        FetchItem::BodyStructure(body) | FetchItem::Body(body) => &**body, &BodyStructure
    );
    /// The whole message: BODY[] or RFC822.
    pub fn message(&self) -> Option<&Bytes> {
        self.section(&Section::default()).or_else(|| {
            self.items.iter().find_map(|item| match item {
                FetchItem::Rfc822(Some(data)) => Some(data),
                _ => None,
            })
        })
    }

    /// The octets of a section; `None` also if they are NIL.
    pub fn section(&self, wanted: &Section) -> Option<&Bytes> {
        self.items.iter().find_map(|item| match item {
            FetchItem::Section {
                section,
                data: Some(data),
                ..
            } if section == wanted => Some(data),
            _ => None,
        })
    }
}

/// What a search found, from SEARCH and ESEARCH responses alike.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Found {
    /// The numbers of a SEARCH response, in its order.
    pub ids: Vec<NonZeroU32>,
    /// HIGHESTMODSEQ of what was found, if MODSEQ was asked.
    pub mod_seq: Option<ModSeq>,
    /// The ESEARCH response, if that is how the server answered.
    pub esearch: Option<Esearch>,
}

impl Found {
    /// All numbers found, ascending. Of an ESEARCH without ALL there are none.
    pub fn numbers(&self) -> Vec<u32> {
        let mut numbers: Vec<u32> = self.ids.iter().map(|id| id.get()).collect();
        if let Some(all) = self.esearch.as_ref().and_then(|e| e.all.as_ref()) {
            for (first, last) in all.ranges.iter().filter_map(|range| range.numbers()) {
                numbers.extend(first.get()..=last.get());
            }
        }
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }
}

/// What SORT found, from SORT and ESEARCH responses alike.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sorted {
    /// The numbers in the order of the criteria. Of an ESEARCH without ALL there are none.
    pub ids: Vec<NonZeroU32>,
    /// HIGHESTMODSEQ of what was found, if MODSEQ was asked.
    pub mod_seq: Option<ModSeq>,
    /// The ESEARCH response, if that is how the server answered (RFC 5267 §3).
    pub esearch: Option<Esearch>,
}

/// What STORE did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stored {
    /// The flags that the server told.
    pub fetched: Vec<Fetched>,
    /// MODIFIED: messages that had changed since and were left alone (RFC 7162 §3.1.3).
    pub modified: Option<IdSet>,
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gone {
    /// EXPUNGE
    Expunged(SeqNum),
    /// VANISHED
    Vanished(UidSet),
}

impl Client {
    /// SEARCH.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn search(&mut self, key: SearchKey) -> Result<Found> {
        self.search_with(Search {
            uid: false,
            returns: None,
            charset: None,
            key,
        })
        .await
    }

    /// UID SEARCH.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn uid_search(&mut self, key: SearchKey) -> Result<Found> {
        self.search_with(Search {
            uid: true,
            returns: None,
            charset: None,
            key,
        })
        .await
    }

    /// SEARCH with its return options and charset.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn search_with(&mut self, search: Search) -> Result<Found> {
        let started = self.start(CommandBody::Search(search)).await?;
        let tag = started.tag.clone();
        let reply = self.finish(started).await?;
        let mut found = Found::default();
        drop(self.own(reply.untagged, |data| match data {
            UntaggedData::Search { ids, mod_seq } => {
                found.ids.extend(ids);
                found.mod_seq = found.mod_seq.or(mod_seq);
                Ok(())
            }
            UntaggedData::Esearch(esearch)
                if of_this_command(&esearch, &tag) && esearch.changes.is_empty() =>
            {
                found.mod_seq = found.mod_seq.or(esearch.mod_seq);
                found.esearch = Some(esearch);
                Ok(())
            }
            other => Err(other),
        }));
        Ok(found)
    }

    /// ESEARCH: a search in several mailboxes (RFC 7377). Returns what each tells in which something was
    /// found; the correlator names the mailbox, and the numbers are UIDs.
    ///
    /// ```no_run
    /// # use restante_client::{Client, types::*};
    /// # async fn example(client: &mut Client) -> Result<(), restante_client::Error> {
    /// let everywhere = SearchScope {
    ///     mailboxes: vec![MailboxFilter::Personal],
    /// };
    /// let search = EsearchCommand {
    ///     scope: Some(everywhere),
    ///     returns: None,
    ///     charset: None,
    ///     key: SearchKey::Unseen,
    /// };
    /// for found in client.esearch(search).await? {
    ///     println!("{:?}: {:?}", found.correlator.mailbox, found.all);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn esearch(&mut self, search: EsearchCommand) -> Result<Vec<Esearch>> {
        let started = self.start(CommandBody::Esearch(search)).await?;
        let tag = started.tag.clone();
        let reply = self.finish(started).await?;
        let mut found = Vec::new();
        drop(self.own(reply.untagged, |data| match data {
            UntaggedData::Esearch(esearch)
                if of_this_command(&esearch, &tag) && esearch.changes.is_empty() =>
            {
                found.push(esearch);
                Ok(())
            }
            other => Err(other),
        }));
        Ok(found)
    }

    /// SORT and UID SORT (RFC 5256 §3, with return options RFC 5267 §3).
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn sort(&mut self, sort: Sort) -> Result<Sorted> {
        let started = self.start(CommandBody::Sort(sort)).await?;
        let tag = started.tag.clone();
        let reply = self.finish(started).await?;
        let mut sorted = Sorted::default();
        drop(self.own(reply.untagged, |data| match data {
            UntaggedData::Sort { ids, mod_seq } => {
                sorted.ids.extend(ids);
                sorted.mod_seq = sorted.mod_seq.or(mod_seq);
                Ok(())
            }
            UntaggedData::Esearch(esearch)
                if of_this_command(&esearch, &tag) && esearch.changes.is_empty() =>
            {
                sorted.mod_seq = sorted.mod_seq.or(esearch.mod_seq);
                sorted.esearch = Some(esearch);
                Ok(())
            }
            other => Err(other),
        }));
        if let Some(esearch) = &sorted.esearch {
            sorted.ids.extend(in_order(esearch.all.as_ref())?);
        }
        Ok(sorted)
    }

    /// THREAD and UID THREAD (RFC 5256 §3): the threads, each a message with the answers to it.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn thread(&mut self, thread: Thread) -> Result<Vec<ThreadNode>> {
        let reply = self.run(CommandBody::Thread(thread)).await?;
        let told = self.own(reply.untagged, |data| match data {
            UntaggedData::Thread(threads) => Ok(threads),
            other => Err(other),
        });
        Ok(told.into_iter().flatten().collect())
    }

    /// UIDBATCHES (RFC 10022): ranges of UIDs with `size` messages each, the newest first, the last with what
    /// remains. `batches`: only those from one to another, from 1.
    ///
    /// # Errors
    /// As [`run`](Self::run): NO with TOOFEW if `size` is too small for the server.
    pub async fn uid_batches(
        &mut self,
        size: NonZeroU32,
        batches: Option<(NonZeroU32, NonZeroU32)>,
    ) -> Result<Vec<(Uid, Uid)>> {
        let started = self
            .start(CommandBody::UidBatches { size, batches })
            .await?;
        let own = started.tag.clone();
        let reply = self.finish(started).await?;
        let told = self.own(reply.untagged, |data| match data {
            UntaggedData::UidBatches { tag, ranges } if tag == own => Ok(ranges),
            other => Err(other),
        });
        Ok(told.into_iter().flatten().collect())
    }

    /// UID SORT by relevance: what the server finds like `key` (FUZZY), the most relevant first, each with
    /// its score from 1 to 100 (RFC 6203 §6).
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn relevant(&mut self, key: SearchKey) -> Result<Vec<(Uid, u8)>> {
        let sort = Sort {
            uid: true,
            returns: Some(SearchReturn {
                all: true,
                relevancy: true,
                ..SearchReturn::default()
            }),
            criteria: vec![SortCriterion {
                reverse: false,
                key: SortKey::Relevancy,
            }],
            charset: "UTF-8".to_owned(),
            key: SearchKey::Fuzzy(Box::new(key)),
        };
        let started = self.start(CommandBody::Sort(sort)).await?;
        let tag = started.tag.clone();
        let reply = self.finish(started).await?;
        let found = self.own(reply.untagged, |data| match data {
            UntaggedData::Esearch(esearch)
                if of_this_command(&esearch, &tag) && esearch.changes.is_empty() =>
            {
                Ok(esearch)
            }
            other => Err(other),
        });
        let mut relevant = Vec::new();
        for esearch in found {
            let scores = esearch.relevancy.unwrap_or_default();
            let ids = in_order(esearch.all.as_ref())?;
            let uids = ids.iter().filter_map(|id| Uid::new(id.get()));
            relevant.extend(uids.zip(scores));
        }
        Ok(relevant)
    }

    /// FETCH or UID FETCH, everything in memory. For large bodies see
    /// [`fetch_stream`](Self::fetch_stream).
    ///
    /// FETCH responses that tell other things than were asked (another session's changes) are
    /// among the results too: by the protocol they cannot be told apart.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn fetch(
        &mut self,
        set: MessageSet,
        attributes: Vec<FetchAttribute>,
    ) -> Result<Vec<Fetched>> {
        let modifiers = FetchModifiers::default();
        self.fetch_with(Fetch {
            set,
            attributes,
            modifiers,
        })
        .await
    }

    /// FETCH with its modifiers.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn fetch_with(&mut self, fetch: Fetch) -> Result<Vec<Fetched>> {
        let reply = self.run(CommandBody::Fetch(fetch)).await?;
        Ok(self.own(reply.untagged, fetched))
    }

    /// FETCH as a stream: one message after the other, and body literals of more than
    /// `stream_over` octets in chunks.
    ///
    /// # Errors
    /// The connection failed. A refusal comes from the stream.
    pub async fn fetch_stream(
        &mut self,
        fetch: Fetch,
        stream_over: Option<u64>,
    ) -> Result<FetchStream<'_>> {
        let started = self.start(CommandBody::Fetch(fetch)).await?;
        self.flush().await?;
        self.connection.stream_over(stream_over);
        Ok(FetchStream {
            client: self,
            tag: Some(started.tag),
        })
    }

    /// STORE or UID STORE.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn store(
        &mut self,
        set: MessageSet,
        action: StoreAction,
        flags: &[Flag],
    ) -> Result<Stored> {
        let flags = flags.to_vec();
        self.store_with(Store {
            set,
            unchanged_since: None,
            action,
            silent: false,
            flags,
        })
        .await
    }

    /// STORE with .SILENT and UNCHANGEDSINCE.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn store_with(&mut self, store: Store) -> Result<Stored> {
        let reply = self.run(CommandBody::Store(store)).await?;
        let modified = match reply.status.code {
            Some(Code::Modified(set)) => Some(set),
            _ => None,
        };
        Ok(Stored {
            fetched: self.own(reply.untagged, fetched),
            modified,
        })
    }

    /// COPY or UID COPY: gives COPYUID if the server has UIDPLUS.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn copy(&mut self, set: MessageSet, mailbox: &str) -> Result<Option<CopyUid>> {
        let mailbox = MailboxName::new(mailbox);
        self.copy_or_move(CommandBody::Copy { set, mailbox }).await
    }

    /// MOVE or UID MOVE (RFC 6851). The expunges it brings are unsolicited data.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn move_messages(
        &mut self,
        set: MessageSet,
        mailbox: &str,
    ) -> Result<Option<CopyUid>> {
        let mailbox = MailboxName::new(mailbox);
        self.copy_or_move(CommandBody::Move { set, mailbox }).await
    }

    async fn copy_or_move(&mut self, body: CommandBody) -> Result<Option<CopyUid>> {
        let reply = self.run(body).await?;
        let mut copy_uid = None;
        if let Some(Code::CopyUid(code)) = reply.status.code {
            copy_uid = Some(code);
        }
        for untagged in reply.untagged {
            match untagged {
                // MOVE tells it before the expunges (RFC 6851 §4.3).
                Untagged::Status(status) if matches!(status.code, Some(Code::CopyUid(_))) => {
                    if let Some(Code::CopyUid(code)) = status.code {
                        copy_uid = Some(code);
                    }
                }
                other => self.deliver(other),
            }
        }
        Ok(copy_uid)
    }

    /// EXPUNGE, or UID EXPUNGE with a set (RFC 4315).
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn expunge(&mut self, uids: Option<UidSet>) -> Result<Vec<Gone>> {
        let reply = self.run(CommandBody::Expunge(uids)).await?;
        Ok(self.own(reply.untagged, |data| match data {
            UntaggedData::Expunge(seq) => Ok(Gone::Expunged(seq)),
            UntaggedData::Vanished {
                earlier: false,
                uids,
            } => Ok(Gone::Vanished(uids)),
            other => Err(other),
        }))
    }
}

fn fetched(data: UntaggedData) -> std::result::Result<Fetched, UntaggedData> {
    match data {
        UntaggedData::Fetch { seq, items } => Ok(Fetched {
            seq: Some(seq),
            items,
        }),
        UntaggedData::UidFetch { uid, mut items } => {
            items.insert(0, FetchItem::Uid(uid));
            Ok(Fetched { seq: None, items })
        }
        other => Err(other),
    }
}

/// Some servers leave the correlator out.
fn of_this_command(esearch: &Esearch, tag: &Tag) -> bool {
    esearch.correlator.tag.as_ref().is_none_or(|of| of == tag)
}

/// What a [`FetchStream`] gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FetchEvent {
    /// A FETCH response that is complete. Of bodies that came in chunks the data is empty.
    Message(Fetched),
    /// A body begins: its response up to it. The last item says which body it is.
    BodyStart {
        /// The response so far.
        before: Fetched,
        /// Octets that follow.
        size: u64,
    },
    /// Octets of the body.
    BodyChunk(Bytes),
    /// The body is complete; the response goes on, and comes as a message.
    BodyEnd,
}

/// The answer to a FETCH, as it comes. Dropped before its end, the rest is read and dropped by
/// the next command.
#[derive(Debug)]
pub struct FetchStream<'a> {
    client: &'a mut Client,
    tag: Option<Tag>,
}

impl FetchStream<'_> {
    /// The next event; `None` after the server's OK. Safe to cancel.
    ///
    /// # Errors
    /// As [`Client::run`].
    pub async fn next(&mut self) -> Result<Option<FetchEvent>> {
        while let Some(tag) = self.tag.clone() {
            let (own, done) = self.client.progress(&tag);
            let mut own = own.into_iter();
            if let Some(first) = own.next() {
                // One response is accepted at a time; more can only be there at the start.
                self.client.put_back(&tag, own);
                match first {
                    Untagged::Data(data) => match fetched(data) {
                        Ok(one) => return Ok(Some(FetchEvent::Message(one))),
                        Err(data) => self.client.deliver(Untagged::Data(data)),
                    },
                    status => self.client.deliver(status),
                }
                continue;
            }
            if done {
                self.tag = None;
                self.client.connection.stream_over(None);
                drop(self.client.finish(Started { tag }).await?);
                break;
            }
            match self.client.incoming().await? {
                Incoming::BodyStart(start, size) => {
                    let before = before_body(start);
                    return Ok(Some(FetchEvent::BodyStart { before, size }));
                }
                Incoming::BodyChunk(chunk) => return Ok(Some(FetchEvent::BodyChunk(chunk))),
                Incoming::BodyEnd => return Ok(Some(FetchEvent::BodyEnd)),
                Incoming::Response(response) => {
                    if self.client.accept(response).is_some() {
                        return Err(Error::Protocol("a continuation request during FETCH"));
                    }
                }
            }
        }
        Ok(None)
    }
}

fn before_body(start: StreamedFetch) -> Fetched {
    match start.message {
        FetchedMessage::Seq(seq) => Fetched {
            seq: Some(seq),
            items: start.items,
        },
        FetchedMessage::Uid(uid) => {
            let items = [FetchItem::Uid(uid)]
                .into_iter()
                .chain(start.items)
                .collect();
            Fetched { seq: None, items }
        }
    }
}

impl Drop for FetchStream<'_> {
    fn drop(&mut self) {
        self.client.connection.stream_over(None);
        if let Some(tag) = &self.tag {
            self.client.abandon(tag);
        }
    }
}
