//! THREAD and UID THREAD (RFC 5256; THREAD=REFS by draft-ietf-morg-inthread).

use std::ops::Range;

use restante_message::MessageIdHash;
use restante_proto::types::{Thread, ThreadAlgorithm};
use restante_search::thread::{Algorithm, Message, thread};

use super::search::{self, Found};
use super::search_program::Program;
use super::search_run;
use crate::columns::{Derived, References, SortText, Values, sent_date};
use crate::cx::Cx;
use crate::message_limit;
use crate::reply::{Outcome, Reply, client_bug};
use crate::state::State;

pub(crate) async fn run(cx: &mut Cx, state: &mut State, args: Thread) -> Outcome {
    let (login, selected) = state.selected()?;
    let algorithm = match args.algorithm {
        ThreadAlgorithm::OrderedSubject => Algorithm::OrderedSubject,
        ThreadAlgorithm::References => Algorithm::References,
        ThreadAlgorithm::Refs => Algorithm::Refs,
        ThreadAlgorithm::Other(_) => return Err(client_bug("Unknown threading algorithm")),
    };
    let program = Program::new(cx, login, selected, Some(&args.charset), args.key).await?;
    if let Some(limit) = cx.message_limit()
        && message_limit::highest(selected, program.uids(), limit)
            .await?
            .is_some()
    {
        // RFC 9738 §3.3: threads of some of the messages would be others.
        return Err(message_limit::exceeded(limit));
    }
    let uids = search_run::find(cx, selected, &program, false).await?;
    let found = Found::read(selected, &uids).await?;
    let mut headers = Headers::default();
    let columns = [
        Derived::References,
        Derived::Sort(SortText::BaseSubject, cx.comparator.collation),
        Derived::Sent,
    ];
    let push = |messages: &[search::Message], values: &[Values]| headers.push(messages, values);
    found.each_block(&selected.mailbox, &columns, push).await?;
    let numbers: Vec<u32> = (0..headers.list.len())
        .map(|index| found.id(index, args.uid))
        .collect();
    let count = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
    let lists = search::aside(count, move || headers.thread(&numbers, algorithm)).await?;
    let out = cx.conn.out();
    out.extend_from_slice(b"* THREAD");
    if !lists.is_empty() {
        out.push(b' ');
        out.extend_from_slice(&lists);
    }
    out.extend_from_slice(b"\r\n");
    Ok(Reply::ok("THREAD completed"))
}

/// What threading needs of all messages, in few pieces of memory.
#[derive(Default)]
struct Headers {
    list: Vec<Header>,
    references: Vec<MessageIdHash>,
    subjects: Vec<u8>,
}

struct Header {
    message_id: Option<MessageIdHash>,
    references: Range<usize>,
    subject: Range<usize>,
    is_reply: bool,
    sent: i64,
    arrived: i64,
}

impl Headers {
    /// `values` are of the columns above.
    fn push(&mut self, messages: &[search::Message], values: &[Values]) {
        let [references, subjects, sent] = values else {
            return;
        };
        let uid = |at: usize| messages[at].uid;
        let first = self.list.len();
        references.each(uid, |at, value| {
            let value = References::of(value.unwrap_or_default());
            let start = self.references.len();
            self.references.extend(value.references());
            self.list.push(Header {
                message_id: value.message_id,
                references: start..self.references.len(),
                subject: 0..0,
                is_reply: value.is_reply,
                sent: messages[at].arrived,
                arrived: messages[at].arrived,
            });
        });
        subjects.each(uid, |at, value| {
            let start = self.subjects.len();
            self.subjects.extend_from_slice(value.unwrap_or_default());
            self.list[first + at].subject = start..self.subjects.len();
        });
        sent.each(uid, |at, value| {
            if let Some(date) = value.and_then(sent_date) {
                self.list[first + at].sent = date.unix_s;
            }
        });
    }

    /// The lists of the response.
    fn thread(self, numbers: &[u32], algorithm: Algorithm) -> Vec<u8> {
        let messages: Vec<Message<'_>> = self
            .list
            .iter()
            .zip(numbers)
            .map(|(header, number)| Message {
                number: *number,
                message_id: header.message_id,
                references: &self.references[header.references.clone()],
                base_subject: &self.subjects[header.subject.clone()],
                is_reply: header.is_reply,
                sent: header.sent,
                arrived: header.arrived,
            })
            .collect();
        let mut out = Vec::with_capacity(10 * messages.len());
        thread(&messages, algorithm).write(&mut out);
        out
    }
}
