//! The answer for one message: its items in the order asked for.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use restante_mailbox::{Account, EmailRow, MailError, ReadAhead, Uid};
use restante_message::Structure;
use restante_proto::encode::FetchItems;

use super::binary::Mark;
use super::plan::{EmailItem, Item, Plan, RowItem};
use super::{Problem, RowWriter, Told, begin_items, problem_is};
use crate::convert;
use crate::cx::Cx;
use crate::reply::Failure;

/// Answers message by message.
pub(super) struct Fetcher<'a> {
    pub(super) writer: RowWriter<'a>,
    pub(super) account: &'a Arc<Account>,
    pub(super) plan: &'a Plan,
    /// What went wrong so far, though the command goes on.
    pub(super) problem: Option<Problem>,
    /// The part of which a piece was decoded last.
    pub(super) mark: Option<Box<Mark>>,
    /// Octets of messages that come next.
    pub(super) ahead: ReadAhead,
    /// Room for the header fields of a message.
    pub(super) text: Vec<u8>,
}

/// A message while it is told.
pub(super) struct Message<'a> {
    pub(super) email: &'a EmailRow,
    /// The part tree, once it is needed.
    pub(super) structure: Option<Structure>,
    /// The header block, once it is needed and if it is small.
    pub(super) header: Option<Bytes>,
}

/// The FETCH response that is being written.
pub(super) struct Response {
    pub(super) items: FetchItems,
    /// Where it begins in the output, unless a part of it has been sent.
    start: Option<usize>,
    /// Where its items begin.
    first: usize,
}

/// Why an item is not told.
#[derive(Debug)]
pub(super) enum Missing {
    /// It is left out, the rest is told.
    Item(Problem),
    /// Nothing can be told any more.
    All(Failure),
}

impl From<MailError> for Missing {
    fn from(error: MailError) -> Missing {
        match error {
            MailError::Damaged { .. } => {
                tracing::error!(%error, "a message is damaged");
                Missing::Item(Problem::Damaged)
            }
            MailError::Expunged => Missing::Item(Problem::Expunged),
            error => Missing::All(error.into()),
        }
    }
}

impl From<io::Error> for Missing {
    fn from(error: io::Error) -> Missing {
        Missing::All(error.into())
    }
}

impl Response {
    fn begin(cx: &mut Cx, number: u32, uid: Uid) -> Option<Response> {
        let start = Some(cx.conn.out().len());
        let items = begin_items(cx, number, uid)?;
        let out = cx.conn.out();
        Some(Response {
            items,
            start,
            first: out.len(),
        })
    }

    /// Writes out what is collected, if it is much: the client sets the pace.
    pub(super) async fn flush_if_large(&mut self, cx: &mut Cx) -> io::Result<()> {
        let before = cx.conn.out().len();
        cx.conn.flush_if_large().await?;
        if cx.conn.out().len() < before {
            self.start = None;
        }
        Ok(())
    }

    /// Ends it; one without items is taken back, because there is none such.
    fn end(self, out: &mut Vec<u8>) {
        match self.start {
            Some(start) if out.len() == self.first => out.truncate(start),
            _ => self.items.end(out),
        }
    }

    /// Takes it back. If a part of it has been sent, the connection cannot go on.
    fn take_back(self, out: &mut Vec<u8>, failure: Failure) -> Failure {
        match (self.start, failure) {
            (Some(start), failure) => {
                out.truncate(start);
                failure
            }
            // The client has gone.
            (None, Failure::Io(error)) => error.into(),
            (None, failure) => {
                tracing::error!(?failure, "a message cannot be read to its end");
                io::Error::other("a message cannot be read to its end").into()
            }
        }
    }
}

impl Fetcher<'_> {
    /// Tells one message.
    pub(super) async fn message(
        &mut self,
        cx: &mut Cx,
        told: &Told,
        email: &EmailRow,
    ) -> Result<(), Failure> {
        let Some(mut response) = Response::begin(cx, told.number, told.row.uid) else {
            return Ok(());
        };
        let mut message = Message::new(email);
        if told.newly_seen {
            self.seen(cx, &mut response, told);
        }
        let plan = self.plan;
        for item in &plan.items {
            let result = match item {
                Item::Row(item) => {
                    let items = &mut response.items;
                    self.writer.write(cx.conn.out(), items, *item, &told.row);
                    Ok(())
                }
                Item::Email(item) => {
                    self.email(cx, &mut response, *item, email);
                    Ok(())
                }
                Item::Octets(item) => self.octets(cx, &mut response, &mut message, item).await,
                Item::Binary(item) => self.binary(cx, &mut response, &mut message, item).await,
            };
            match result {
                Ok(()) => {}
                Err(Missing::Item(problem)) => problem_is(&mut self.problem, problem),
                Err(Missing::All(failure)) => {
                    return Err(response.take_back(cx.conn.out(), failure));
                }
            }
        }
        response.end(cx.conn.out());
        Ok(())
    }

    /// Flags that this command changed are told, with all that a flag change has (RFC 9051 §6.4.5;
    /// RFC 7162 §3.2.4).
    fn seen(&mut self, cx: &mut Cx, response: &mut Response, told: &Told) {
        let mut items = vec![RowItem::Flags];
        if cx.enabled.fetch_tells_uid() {
            items.insert(0, RowItem::Uid);
        }
        if cx.enabled.condstore() {
            items.push(RowItem::ModSeq);
        }
        for item in items {
            if !self.plan.has(item) {
                let out = cx.conn.out();
                self.writer.write(out, &mut response.items, item, &told.row);
            }
        }
    }

    fn email(&self, cx: &mut Cx, response: &mut Response, item: EmailItem, email: &EmailRow) {
        let utf8 = cx.enabled.utf8_quoted();
        let (out, items) = (cx.conn.out(), &mut response.items);
        match item {
            EmailItem::Envelope => items.ready(out, "ENVELOPE", email.envelope()),
            EmailItem::BodyStructure => {
                items.ready(out, "BODYSTRUCTURE", b"");
                if utf8 || !email.structure_of_rev1(true, out) {
                    out.extend_from_slice(email.bodystructure());
                }
            }
            EmailItem::Body => {
                items.ready(out, "BODY", b"");
                if utf8 || !email.structure_of_rev1(false, out) {
                    email.body(out);
                }
            }
            EmailItem::ThreadId => {
                let id = convert::thread_id(self.account.id(), email.thread());
                items.object_id(out, "THREADID", id.as_str());
            }
            EmailItem::Preview => items.preview(out, Some(email.preview()), utf8),
        }
    }
}

impl<'a> Message<'a> {
    pub(super) fn new(email: &'a EmailRow) -> Message<'a> {
        Message {
            email,
            structure: None,
            header: None,
        }
    }

    /// The part tree.
    pub(super) fn structure(&mut self) -> Result<&Structure, MailError> {
        if self.structure.is_none() {
            self.structure = Some(self.email.structure()?);
        }
        // Set a line above.
        self.structure.as_ref().ok_or_else(|| MailError::Damaged {
            what: "a part tree".into(),
        })
    }
}
