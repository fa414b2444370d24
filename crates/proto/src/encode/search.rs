//! SEARCH, SORT, ESEARCH and THREAD responses (RFC 9051 §7.3.4, RFC 3501 §7.2.5, RFC 5256 §4).

use std::num::NonZeroU32;

use super::Writer;
use crate::types::{Esearch, EsearchCorrelator, ModSeq, Number, PartialRange, ThreadNode};

impl Writer<'_> {
    /// Appends SEARCH (RFC 3501 §7.2.5); `mod_seq` by RFC 7162 §3.1.5.
    pub fn search<N: Number>(&mut self, ids: impl IntoIterator<Item = N>, mod_seq: Option<ModSeq>) {
        self.search_or_sort(b"* SEARCH", ids, mod_seq);
    }

    /// Appends SORT (RFC 5256 §4).
    pub fn sort<N: Number>(&mut self, ids: impl IntoIterator<Item = N>, mod_seq: Option<ModSeq>) {
        self.search_or_sort(b"* SORT", ids, mod_seq);
    }

    fn search_or_sort<N: Number>(
        &mut self,
        name: &[u8],
        ids: impl IntoIterator<Item = N>,
        mod_seq: Option<ModSeq>,
    ) {
        self.raw(name);
        for id in ids {
            self.space();
            self.number(id.get().into());
        }
        if let Some(mod_seq) = mod_seq {
            self.raw(b" (MODSEQ ");
            self.number(mod_seq.get());
            self.raw(b")");
        }
        self.end_line();
    }

    /// Begins an ESEARCH response.
    pub fn esearch(&mut self, correlator: &EsearchCorrelator, uid: bool) -> EsearchWriter<'_> {
        self.raw(b"* ESEARCH");
        let EsearchCorrelator {
            tag,
            mailbox,
            uid_validity,
        } = correlator;
        if tag.is_some() || mailbox.is_some() || uid_validity.is_some() {
            let mut separator: &[u8] = b" (";
            if let Some(tag) = tag {
                self.raw(separator);
                self.raw(b"TAG ");
                self.string(tag.as_str().as_bytes());
                separator = b" ";
            }
            if let Some(mailbox) = mailbox {
                self.raw(separator);
                self.raw(b"MAILBOX ");
                self.mailbox(mailbox);
                separator = b" ";
            }
            if let Some(uid_validity) = uid_validity {
                self.raw(separator);
                self.raw(b"UIDVALIDITY ");
                self.number(uid_validity.get().into());
            }
            self.raw(b")");
        }
        if uid {
            self.raw(b" UID");
        }
        EsearchWriter {
            writer: Writer::new(self.out, self.utf8),
        }
    }

    /// Appends a typed ESEARCH response.
    pub fn esearch_response(&mut self, esearch: &Esearch) {
        let mut items = self.esearch(&esearch.correlator, esearch.uid);
        if let Some(n) = esearch.min {
            items.min(n);
        }
        if let Some(n) = esearch.max {
            items.max(n);
        }
        if let Some(n) = esearch.count {
            items.count(n);
        }
        if let Some(set) = &esearch.all {
            items.writer.raw(b" ALL ");
            items.writer.set(set);
        }
        if let Some(partial) = &esearch.partial {
            items.partial_begin(partial.range);
            match &partial.ids {
                Some(set) => items.writer.set(set),
                None => items.writer.raw(b"NIL"),
            }
            items.writer.raw(b")");
        }
        if let Some(scores) = &esearch.relevancy {
            items.relevancy(scores.iter().copied());
        }
        for change in &esearch.changes {
            items.change_begin(change.add, change.position);
            items.writer.set(&change.ids);
            items.writer.raw(b")");
        }
        if let Some(mod_seq) = esearch.mod_seq {
            items.mod_seq(mod_seq);
        }
        items.end();
    }

    /// Appends THREAD (RFC 5256 §4).
    pub fn thread(&mut self, roots: &[ThreadNode]) {
        let mut nodes = Vec::new();
        let mut stack: Vec<&ThreadNode> = roots.iter().rev().collect();
        while let Some(node) = stack.pop() {
            nodes.push((node.id, node.children.len()));
            stack.extend(node.children.iter().rev());
        }
        self.thread_preorder(nodes);
    }

    /// Appends THREAD from messages in preorder: each with how many children follow it. Threads
    /// of any depth.
    pub fn thread_preorder(
        &mut self,
        nodes: impl IntoIterator<Item = (Option<NonZeroU32>, usize)>,
    ) {
        self.raw(b"* THREAD");
        let mut first = true;
        // Open lists of siblings: how many of them are still to come.
        let mut open: Vec<usize> = Vec::new();
        // Whether the next message goes on in the list of its parent.
        let mut chained = false;
        for (id, children) in nodes {
            if !chained {
                if std::mem::take(&mut first) {
                    self.space();
                }
                self.raw(b"(");
            }
            if let Some(id) = id {
                self.number(id.get().into());
                if children > 0 {
                    self.space();
                }
            }
            chained = children == 1;
            if children > 1 {
                open.push(children);
            }
            if children == 0 {
                self.raw(b")");
                while let Some(left) = open.last_mut() {
                    *left -= 1;
                    if *left > 0 {
                        break;
                    }
                    open.pop();
                    self.raw(b")");
                }
            }
        }
        self.end_line();
    }
}

/// An ESEARCH response that is being written. Sets must not be empty: what there is nothing of
/// is left out (RFC 9051 §7.3.4).
#[derive(Debug)]
#[must_use = "an ESEARCH response must be ended"]
pub struct EsearchWriter<'a> {
    writer: Writer<'a>,
}

impl EsearchWriter<'_> {
    fn named(&mut self, name: &[u8], n: u64) {
        self.writer.raw(name);
        self.writer.number(n);
    }

    /// Appends MIN.
    pub fn min<N: Number>(&mut self, n: N) {
        self.named(b" MIN ", n.get().into());
    }

    /// Appends MAX.
    pub fn max<N: Number>(&mut self, n: N) {
        self.named(b" MAX ", n.get().into());
    }

    /// Appends COUNT.
    pub fn count(&mut self, n: u32) {
        self.named(b" COUNT ", n.into());
    }

    /// Appends MODSEQ (RFC 7162 §3.1.10).
    pub fn mod_seq(&mut self, mod_seq: ModSeq) {
        self.named(b" MODSEQ ", mod_seq.get());
    }

    /// Appends ALL from numbers in the order of the result.
    pub fn all<N: Number>(&mut self, ids: impl IntoIterator<Item = N>) {
        self.writer.raw(b" ALL ");
        self.writer.numbers(ids);
    }

    /// Appends ALL from ranges.
    pub fn all_ranges<N: Number>(&mut self, ranges: impl IntoIterator<Item = (N, N)>) {
        self.writer.raw(b" ALL ");
        self.writer.ranges(ranges);
    }

    fn partial_begin(&mut self, range: PartialRange) {
        self.writer.raw(b" PARTIAL (");
        write_partial_range(self.writer.out, range);
        self.writer.space();
    }

    /// Appends PARTIAL (RFC 9394 §3.1); `None` if there is nothing in the range.
    pub fn partial<N: Number>(
        &mut self,
        range: PartialRange,
        ids: Option<impl IntoIterator<Item = N>>,
    ) {
        self.partial_begin(range);
        match ids {
            Some(ids) => self.writer.numbers(ids),
            None => self.writer.raw(b"NIL"),
        }
        self.writer.raw(b")");
    }

    /// Appends RELEVANCY (RFC 6203 §4): 1 to 100 for each result.
    pub fn relevancy(&mut self, scores: impl IntoIterator<Item = u8>) {
        self.writer.raw(b" RELEVANCY ");
        self.writer.list(scores, |w, score| w.number(score.into()));
    }

    /// Appends ADDTO or REMOVEFROM (RFC 5267 §4.3.2, §4.3.3): a position and numbers.
    pub fn change<N: Number>(
        &mut self,
        add: bool,
        position: u32,
        ids: impl IntoIterator<Item = N>,
    ) {
        self.change_begin(add, position);
        self.writer.numbers(ids);
        self.writer.raw(b")");
    }

    fn change_begin(&mut self, add: bool, position: u32) {
        self.writer
            .raw(if add { b" ADDTO (" } else { b" REMOVEFROM (" });
        self.writer.number(position.into());
        self.writer.space();
    }

    /// Ends the response.
    pub fn end(mut self) {
        self.writer.end_line();
    }
}

/// Appends `1:500` or `-1:-100`.
pub(crate) fn write_partial_range(out: &mut Vec<u8>, range: PartialRange) {
    let (sign, first, last): (&[u8], _, _) = match range {
        PartialRange::First(first, last) => (b"", first, last),
        PartialRange::Last(first, last) => (b"-", first, last),
    };
    out.extend_from_slice(sign);
    super::write_number(out, first.get().into());
    out.push(b':');
    out.extend_from_slice(sign);
    super::write_number(out, last.get().into());
}
