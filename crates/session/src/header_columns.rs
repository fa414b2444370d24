//! What SEARCH HEADER compares of fields that the envelope does not have, in columns that stay in memory: made of the
//! headers that are read for such a search.

use std::sync::Arc;

use restante_mailbox::{DerivedBlock, Mailbox, Uid};
use restante_message::{decode_header_value, fields};
use restante_search::Collation;

use crate::columns::{BEFORE_TEXT, LONG_TEXT, Values};

/// Fields in one search that have columns.
pub(crate) const FIELDS_MAX: usize = 4;
/// Octets of a field's name that has one.
const NAME_MAX: usize = 64;
/// Octets of a message's fields of one name. Where there are more, the header is read.
const TEXT_MAX: usize = 4 << 10;
/// Octets that one step of a search adds to columns. Those of the messages after them are added by the next search.
const FRESH_MAX: usize = 8 << 20;

/// A header field that is searched.
#[derive(Debug)]
pub(crate) struct HeaderField {
    name: Vec<u8>,
    collation: Collation,
    /// The name of its column.
    column: Arc<[u8]>,
}

impl HeaderField {
    /// The field of that name, if there can be a column of it.
    pub(crate) fn new(name: &[u8], collation: Collation) -> Option<HeaderField> {
        if name.len() > NAME_MAX {
            return None;
        }
        let name = name.to_ascii_lowercase();
        // The other columns begin with other numbers.
        let mut column = vec![6, collation as u8];
        column.extend_from_slice(&name);
        Some(HeaderField {
            name,
            collation,
            column: column.into(),
        })
    }

    /// Whether it is the field of that name.
    pub(crate) fn is(&self, name: &[u8]) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// Appends the value: each occurrence in the form that is searched, nothing if there is none.
    fn derive(&self, header: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        for field in fields(header).filter(|field| self.is(field.name)) {
            out.push(BEFORE_TEXT);
            // Decoding does not make it so much shorter that this would matter.
            if field.value.len() <= 2 * TEXT_MAX {
                let text = decode_header_value(field.value);
                self.collation.fold_to_find(&text, out);
            }
            if field.value.len() > 2 * TEXT_MAX || out.len() - start > TEXT_MAX {
                out.truncate(start);
                out.extend_from_slice(LONG_TEXT);
                return;
            }
        }
    }
}

/// What is in memory of messages, whose UIDs ascend, by field. What is said to be gone there is not known.
pub(crate) fn known(mailbox: &Mailbox, of: &[HeaderField], uids: &[Uid]) -> Vec<Values> {
    let values = of.iter().map(|field| {
        let block = |number| {
            let block = mailbox
                .account()
                .derived(mailbox.id(), &field.column, number);
            block.unwrap_or_default()
        };
        Values::of_blocks(uids, block)
    });
    values.collect()
}

/// Values that were made while headers were read.
#[derive(Debug, Default)]
pub(crate) struct Fresh {
    /// By field; blocks with their numbers, ascending.
    blocks: Vec<Vec<(u32, DerivedBlock)>>,
    bytes: usize,
}

impl Fresh {
    /// Takes what a message has of the fields. UIDs must ascend.
    pub(crate) fn add(&mut self, of: &[HeaderField], uid: Uid, header: &[u8]) {
        if self.bytes > FRESH_MAX {
            return;
        }
        self.blocks.resize_with(of.len(), Vec::new);
        let number = DerivedBlock::of(uid);
        for (field, blocks) in of.iter().zip(&mut self.blocks) {
            if blocks.last().is_none_or(|last| last.0 != number) {
                blocks.push((number, DerivedBlock::new()));
            }
            if let Some((_, block)) = blocks.last_mut() {
                block.push(uid, |out| {
                    let before = out.len();
                    field.derive(header, out);
                    self.bytes += out.len() - before;
                });
            }
        }
    }

    /// Keeps them in memory beside what is there of the same messages' fields.
    pub(crate) fn keep(self, mailbox: &Mailbox, of: &[HeaderField]) {
        let account = mailbox.account();
        for (field, blocks) in of.iter().zip(self.blocks) {
            for (number, fresh) in blocks {
                let merged = match account.derived(mailbox.id(), &field.column, number) {
                    Some(old) => {
                        let fresh = fresh.without(&old);
                        // What is too long is read each time.
                        if fresh.is_empty() {
                            continue;
                        }
                        old.merged(&fresh)
                    }
                    None => fresh,
                };
                account.keep_derived_named(mailbox.id(), &field.column, number, merged);
            }
        }
    }
}
