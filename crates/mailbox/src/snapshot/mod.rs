//! Snapshots: a mailbox at one modseq, immutable and shared.

mod access;
mod checkpoint;
mod diff;
mod fold;
mod part;
mod wanted;

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;

pub use self::{
    access::{FlagFilter, Rows},
    checkpoint::Checkpoint,
    diff::{Diff, NotLoaded},
    fold::FoldError,
    part::{ChunkRef, PartKey, PartKind, Parts},
    wanted::{LoadError, Loaded, Wanted},
};
use crate::{
    keywords::Keywords,
    tail::{RootRef, Tail},
    types::{ModSeq, Row, Uid, UidValidity},
};

/// The annotations of a mailbox by entry name.
pub type Annotations = BTreeMap<Box<str>, Bytes>;

/// A mailbox at one modseq: immutable, shared, cheap to clone.
#[derive(Clone, Debug)]
pub struct Snapshot {
    tail: Tail,
    keywords: Arc<Keywords>,
    annotations: Arc<Annotations>,
    rows: Arc<Vec<Row>>,
}

impl Snapshot {
    /// An empty new mailbox.
    pub fn new(uid_validity: UidValidity) -> Self {
        Self {
            tail: Tail::new(uid_validity),
            keywords: Arc::default(),
            annotations: Arc::default(),
            rows: Arc::default(),
        }
    }

    /// Where the log stood.
    pub fn tail(&self) -> &Tail {
        &self.tail
    }

    /// HIGHESTMODSEQ.
    pub fn modseq(&self) -> ModSeq {
        self.tail.modseq
    }

    /// UIDNEXT.
    pub fn uid_next(&self) -> Uid {
        self.tail.uid_next
    }

    /// UIDVALIDITY.
    pub fn uid_validity(&self) -> UidValidity {
        self.tail.uid_validity
    }

    /// How many messages there are.
    pub fn exists(&self) -> u32 {
        self.tail.messages
    }

    /// The mailbox's keywords.
    pub fn keywords(&self) -> &Arc<Keywords> {
        &self.keywords
    }

    /// The mailbox's annotations.
    pub fn annotations(&self) -> &Arc<Annotations> {
        &self.annotations
    }

    /// The same messages with a tail that names another checkpoint or state. None if `tail` stands at
    /// another place of the log.
    pub fn with_tail(&self, tail: &Tail) -> Option<Self> {
        let same = self.tail.chain == tail.chain && self.tail.modseq == tail.modseq;
        same.then(|| Self {
            tail: tail.clone(),
            ..self.clone()
        })
    }

    /// The newest checkpoint.
    pub fn root(&self) -> Option<RootRef> {
        self.tail.root
    }
}
