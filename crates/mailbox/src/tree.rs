//! The mailbox tree of an account: the fold of the account log, and the records of that log.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    acl::{Acl, Rights},
    codec::{Decoded, Reader, put_bytes, put_signed, put_varint},
    error::{Limit, MailError, Result},
    name::MailboxName,
    types::{MailboxId, ModSeq, UidValidity},
};

/// The special uses of a mailbox, as a set (RFC 6154 §2; RFC 8457 §3; RFC 9979 §8).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SpecialUse(u16);

impl SpecialUse {
    /// None.
    pub const NONE: Self = Self(0);
    /// `\All`.
    pub const ALL: Self = Self(1);
    /// `\Archive`.
    pub const ARCHIVE: Self = Self(1 << 1);
    /// `\Drafts`.
    pub const DRAFTS: Self = Self(1 << 2);
    /// `\Flagged`.
    pub const FLAGGED: Self = Self(1 << 3);
    /// `\Junk`.
    pub const JUNK: Self = Self(1 << 4);
    /// `\Sent`.
    pub const SENT: Self = Self(1 << 5);
    /// `\Trash`.
    pub const TRASH: Self = Self(1 << 6);
    /// `\Important`.
    pub const IMPORTANT: Self = Self(1 << 7);
    /// `\Memos`.
    pub const MEMOS: Self = Self(1 << 8);
    /// `\Scheduled`.
    pub const SCHEDULED: Self = Self(1 << 9);
    /// `\Snoozed`.
    pub const SNOOZED: Self = Self(1 << 10);

    const NAMES: [(Self, &'static str); 11] = [
        (Self::ALL, "\\All"),
        (Self::ARCHIVE, "\\Archive"),
        (Self::DRAFTS, "\\Drafts"),
        (Self::FLAGGED, "\\Flagged"),
        (Self::JUNK, "\\Junk"),
        (Self::SENT, "\\Sent"),
        (Self::TRASH, "\\Trash"),
        (Self::IMPORTANT, "\\Important"),
        (Self::MEMOS, "\\Memos"),
        (Self::SCHEDULED, "\\Scheduled"),
        (Self::SNOOZED, "\\Snoozed"),
    ];

    /// The use with this attribute's name, backslash included, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        let found = Self::NAMES
            .iter()
            .find(|(_, known)| known.eq_ignore_ascii_case(name));
        found.map(|(special_use, _)| *special_use)
    }

    /// The attributes' names, backslash included.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES
            .into_iter()
            .filter(move |(special_use, _)| self.contains(*special_use))
            .map(|(_, name)| name)
    }

    /// Whether all of `other` are in this set.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether any of `other` is in this set.
    pub fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl SpecialUse {
    /// These uses but for those.
    #[must_use]
    pub fn without(self, those: SpecialUse) -> SpecialUse {
        SpecialUse(self.0 & !those.0)
    }
}

impl std::ops::BitOr for SpecialUse {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// The name of an annotation: its mailbox (none is the account), and its entry.
pub type MetadataName = (Option<MailboxId>, Arc<str>);

/// A mailbox in the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number in the account: never used again, kept on RENAME (RFC 8474 MAILBOXID).
    pub id: MailboxId,
    /// Its UIDVALIDITY, kept on RENAME.
    pub uid_validity: UidValidity,
    /// Its special uses.
    pub special_use: SpecialUse,
    /// When it was created, milliseconds since 1970.
    pub created_ms: i64,
}

/// The mailboxes of an account at one moment; immutable.
///
/// A mailbox that was deleted but has children is not here: that it must be listed as
/// `\NonExistent` follows from its children (RFC 9051 §6.3.5).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    /// The account log's modseq that this is the fold of.
    pub modseq: ModSeq,
    /// The mailboxes, in the order of their names.
    pub mailboxes: BTreeMap<MailboxName, Entry>,
    /// The subscribed names, whether or not they are mailboxes (RFC 9051 §6.3.7).
    pub subscribed: BTreeSet<MailboxName>,
    /// Server and mailbox annotations (RFC 5464), by mailbox and entry name; no mailbox is the
    /// server's (the account's) own.
    pub metadata: BTreeMap<MetadataName, Arc<[u8]>>,
    /// What mailboxes grant to others than the owner (RFC 4314); none of them is empty.
    pub(crate) acls: BTreeMap<MailboxId, Acl>,
    by_id: BTreeMap<MailboxId, MailboxName>,
}

/// A change of the tree, as it lies in the account log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TreeEffect {
    Create {
        name: MailboxName,
        entry: Entry,
    },
    Delete {
        id: MailboxId,
    },
    Rename {
        id: MailboxId,
        name: MailboxName,
    },
    Subscribe {
        name: MailboxName,
    },
    Unsubscribe {
        name: MailboxName,
    },
    SpecialUse {
        id: MailboxId,
        special_use: SpecialUse,
    },
    /// An annotation is set, or with an empty value removed.
    Metadata {
        mailbox: Option<MailboxId>,
        entry: Arc<str>,
        value: Option<Arc<[u8]>>,
    },
    /// What an identifier may do (RFC 4314); with no rights it is taken out.
    Acl {
        mailbox: MailboxId,
        identifier: Arc<str>,
        rights: u64,
    },
}

/// A record of the account log. Its modseq is its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TreeRecord {
    /// The chain of the tail that it was built on.
    pub(crate) parent: u64,
    pub(crate) wall_ms: i64,
    pub(crate) nonce: u64,
    pub(crate) effects: Vec<TreeEffect>,
}

const RECORD_VERSION: u8 = 1;
const TREE_VERSION: u8 = 1;

impl Tree {
    /// The mailbox of this name.
    pub fn get(&self, name: &MailboxName) -> Option<&Entry> {
        self.mailboxes.get(name)
    }

    /// The name and entry of a mailbox.
    pub fn by_id(&self, id: MailboxId) -> Option<(&MailboxName, &Entry)> {
        let name = self.by_id.get(&id)?;
        Some((name, self.mailboxes.get(name)?))
    }

    /// The mailboxes below this name, in order.
    pub fn children<'a>(
        &'a self,
        name: &MailboxName,
    ) -> impl Iterator<Item = (&'a MailboxName, &'a Entry)> + use<'a> {
        // What is below `name` need not come right after it: `a!` lies between `a` and `a/b`.
        let name = name.clone();
        let from = format!("{name}{}", MailboxName::SEPARATOR);
        self.mailboxes
            .range::<str, _>((
                std::ops::Bound::Included(from.as_str()),
                std::ops::Bound::Unbounded,
            ))
            .take_while(move |(other, _)| other.is_below(&name))
    }

    /// Whether there is a mailbox below this name.
    pub fn has_children(&self, name: &MailboxName) -> bool {
        self.children(name).next().is_some()
    }

    /// The mailbox with one of these special uses.
    pub fn with_special_use(&self, special_use: SpecialUse) -> Option<(&MailboxName, &Entry)> {
        self.mailboxes
            .iter()
            .find(|(_, entry)| entry.special_use.intersects(special_use))
    }

    /// The mailboxes to which `name` gives one, by that name, as somebody else sees them: without special
    /// uses, subscriptions, rights and annotations that are not of one of these mailboxes.
    #[must_use]
    pub fn seen_as(
        &self,
        mut name: impl FnMut(&MailboxName, &Entry) -> Option<MailboxName>,
    ) -> Tree {
        let mut seen = Tree {
            modseq: self.modseq,
            ..Tree::default()
        };
        for (own, entry) in &self.mailboxes {
            if let Some(name) = name(own, entry) {
                seen.by_id.insert(entry.id, name.clone());
                let special_use = SpecialUse::NONE;
                let entry = entry.clone();
                let entry = Entry {
                    special_use,
                    ..entry
                };
                seen.mailboxes.insert(name, entry);
            }
        }
        let annotations = self.metadata.iter();
        let of_these = annotations.filter(|((mailbox, _), _)| {
            mailbox.is_some_and(|mailbox| seen.by_id.contains_key(&mailbox))
        });
        seen.metadata = of_these
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        seen
    }

    /// Folds a record in. `None` if it does not fit: the log is damaged.
    pub(crate) fn apply(&mut self, modseq: ModSeq, effects: &[TreeEffect]) -> Option<()> {
        for effect in effects {
            match effect {
                TreeEffect::Create { name, entry } => {
                    if self.by_id.insert(entry.id, name.clone()).is_some() {
                        return None;
                    }
                    if self.mailboxes.insert(name.clone(), entry.clone()).is_some() {
                        return None;
                    }
                }
                TreeEffect::Delete { id } => {
                    self.mailboxes.remove(&self.by_id.remove(id)?)?;
                    self.metadata
                        .retain(|(mailbox, _), _| *mailbox != Some(*id));
                    self.acls.remove(id);
                }
                TreeEffect::Rename { id, name } => {
                    let entry = self.mailboxes.remove(self.by_id.get(id)?)?;
                    if self.mailboxes.insert(name.clone(), entry).is_some() {
                        return None;
                    }
                    self.by_id.insert(*id, name.clone());
                }
                TreeEffect::Subscribe { name } => {
                    self.subscribed.insert(name.clone());
                }
                TreeEffect::Unsubscribe { name } => {
                    self.subscribed.remove(name);
                }
                TreeEffect::SpecialUse { id, special_use } => {
                    self.mailboxes.get_mut(self.by_id.get(id)?)?.special_use = *special_use;
                }
                TreeEffect::Metadata {
                    mailbox,
                    entry,
                    value,
                } => {
                    let key = (*mailbox, entry.clone());
                    match value {
                        Some(value) => self.metadata.insert(key, value.clone()),
                        None => self.metadata.remove(&key),
                    };
                }
                TreeEffect::Acl {
                    mailbox,
                    identifier,
                    rights,
                } => {
                    let rights = Rights::from_bits(*rights);
                    let acl = self.acls.entry(*mailbox).or_default();
                    match rights.is_empty() {
                        true => acl.remove(identifier),
                        false => acl.insert(identifier.clone(), rights),
                    };
                    if acl.is_empty() {
                        self.acls.remove(mailbox);
                    }
                }
            }
        }
        self.modseq = modseq;
        Some(())
    }

    /// The form in a root: the effects that build this tree from nothing.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![TREE_VERSION];
        put_varint(&mut out, self.modseq.0);
        for (name, entry) in &self.mailboxes {
            let (name, entry) = (name.clone(), entry.clone());
            TreeEffect::Create { name, entry }.encode(&mut out);
        }
        for name in &self.subscribed {
            TreeEffect::Subscribe { name: name.clone() }.encode(&mut out);
        }
        for ((mailbox, entry), value) in &self.metadata {
            let effect = TreeEffect::Metadata {
                mailbox: *mailbox,
                entry: entry.clone(),
                value: Some(value.clone()),
            };
            effect.encode(&mut out);
        }
        for (mailbox, acl) in &self.acls {
            for (identifier, rights) in acl {
                let effect = TreeEffect::Acl {
                    mailbox: *mailbox,
                    identifier: identifier.clone(),
                    rights: rights.bits(),
                };
                effect.encode(&mut out);
            }
        }
        out
    }

    /// Reads the form in a root.
    pub(crate) fn decode(bytes: &[u8]) -> Decoded<Self> {
        let mut reader = Reader::new("mailbox tree", bytes);
        if reader.u8()? != TREE_VERSION {
            return Err(reader.damaged());
        }
        let modseq = ModSeq(reader.varint()?);
        let mut tree = Self::default();
        while reader.left() > 0 {
            let effect = TreeEffect::decode(&mut reader)?;
            tree.apply(modseq, &[effect]).ok_or(reader.damaged())?;
        }
        tree.modseq = modseq;
        Ok(tree)
    }

    /// The effects that create `name` and the parents that it misses, all as real mailboxes.
    /// `new` makes the entry of each.
    pub(crate) fn create(
        &self,
        name: &MailboxName,
        mut new: impl FnMut(&MailboxName) -> Result<Entry>,
    ) -> Result<Vec<TreeEffect>> {
        if self.mailboxes.contains_key(name) {
            return Err(MailError::AlreadyExists);
        }
        let mut missing = vec![name.clone()];
        let mut at = name.parent();
        while let Some(parent) = at {
            if self.mailboxes.contains_key(&parent) {
                break;
            }
            at = parent.parent();
            missing.push(parent);
        }
        if self.mailboxes.len() + missing.len() > Self::MAILBOXES_MAX {
            return Err(MailError::Limit(Limit::Mailboxes));
        }
        let mut effects = Vec::new();
        for name in missing.into_iter().rev() {
            let entry = new(&name)?;
            let inherited = self.inherited(&name, entry.id);
            effects.push(TreeEffect::Create { name, entry });
            effects.extend(inherited);
        }
        Ok(effects)
    }

    /// The most mailboxes of an account.
    pub const MAILBOXES_MAX: usize = 100_000;
    /// The most subscribed names of an account.
    pub const SUBSCRIPTIONS_MAX: usize = 200_000;
}

impl TreeEffect {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Create { name, entry } => {
                out.push(1);
                put_bytes(out, name.as_str().as_bytes());
                put_varint(out, entry.id.0.into());
                put_varint(out, entry.uid_validity.get().into());
                put_varint(out, entry.special_use.0.into());
                put_signed(out, entry.created_ms);
            }
            Self::Delete { id } => {
                out.push(2);
                put_varint(out, id.0.into());
            }
            Self::Rename { id, name } => {
                out.push(3);
                put_varint(out, id.0.into());
                put_bytes(out, name.as_str().as_bytes());
            }
            Self::Subscribe { name } => {
                out.push(4);
                put_bytes(out, name.as_str().as_bytes());
            }
            Self::Unsubscribe { name } => {
                out.push(5);
                put_bytes(out, name.as_str().as_bytes());
            }
            Self::SpecialUse { id, special_use } => {
                out.push(6);
                put_varint(out, id.0.into());
                put_varint(out, special_use.0.into());
            }
            Self::Metadata {
                mailbox,
                entry,
                value,
            } => {
                out.push(7);
                // Mailbox ids begin at 1: 0 is the account's own.
                put_varint(out, mailbox.map_or(0, |id| id.0).into());
                put_bytes(out, entry.as_bytes());
                out.push(u8::from(value.is_some()));
                put_bytes(out, value.as_deref().unwrap_or_default());
            }
            Self::Acl {
                mailbox,
                identifier,
                rights,
            } => {
                out.push(8);
                put_varint(out, mailbox.0.into());
                put_bytes(out, identifier.as_bytes());
                put_varint(out, *rights);
            }
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Decoded<Self> {
        Ok(match reader.u8()? {
            1 => Self::Create {
                name: decode_name(reader)?,
                entry: Entry {
                    id: MailboxId(reader.varint_u32()?),
                    uid_validity: UidValidity::new(reader.varint_u32()?).ok_or(reader.damaged())?,
                    special_use: decode_special_use(reader)?,
                    created_ms: reader.signed()?,
                },
            },
            2 => Self::Delete {
                id: MailboxId(reader.varint_u32()?),
            },
            3 => Self::Rename {
                id: MailboxId(reader.varint_u32()?),
                name: decode_name(reader)?,
            },
            4 => Self::Subscribe {
                name: decode_name(reader)?,
            },
            5 => Self::Unsubscribe {
                name: decode_name(reader)?,
            },
            6 => Self::SpecialUse {
                id: MailboxId(reader.varint_u32()?),
                special_use: decode_special_use(reader)?,
            },
            7 => {
                let mailbox = reader.varint_u32()?;
                let entry = reader.str()?.into();
                let is_set = reader.u8()? == 1;
                let value = reader.bytes()?;
                Self::Metadata {
                    mailbox: (mailbox != 0).then_some(MailboxId(mailbox)),
                    entry,
                    value: is_set.then(|| value.into()),
                }
            }
            8 => Self::Acl {
                mailbox: MailboxId(reader.varint_u32()?),
                identifier: reader.str()?.into(),
                rights: reader.varint()?,
            },
            _ => return Err(reader.damaged()),
        })
    }
}

fn decode_name(reader: &mut Reader<'_>) -> Decoded<MailboxName> {
    MailboxName::new(reader.str()?).map_err(|_| reader.damaged())
}

fn decode_special_use(reader: &mut Reader<'_>) -> Decoded<SpecialUse> {
    let bits = u16::try_from(reader.varint_u32()?);
    bits.map(SpecialUse).map_err(|_| reader.damaged())
}

impl TreeRecord {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![RECORD_VERSION];
        out.extend_from_slice(&self.parent.to_le_bytes());
        out.extend_from_slice(&self.nonce.to_le_bytes());
        put_signed(&mut out, self.wall_ms);
        for effect in &self.effects {
            effect.encode(&mut out);
        }
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Decoded<Self> {
        let mut reader = Reader::new("account record", bytes);
        if reader.u8()? != RECORD_VERSION {
            return Err(reader.damaged());
        }
        let (parent, nonce, wall_ms) = (reader.u64_le()?, reader.u64_le()?, reader.signed()?);
        let mut effects = Vec::new();
        while reader.left() > 0 {
            effects.push(TreeEffect::decode(&mut reader)?);
        }
        Ok(Self {
            parent,
            wall_ms,
            nonce,
            effects,
        })
    }

    /// The chain of the tail after it: a hash of its modseq and bytes, and so of all before it.
    pub(crate) fn chain(&self, modseq: ModSeq) -> u64 {
        xxhash_rust::xxh3::xxh3_64_with_seed(&self.encode(), modseq.0).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> MailboxName {
        MailboxName::new(name).unwrap()
    }

    fn entry(id: u32) -> Entry {
        Entry {
            id: MailboxId(id),
            uid_validity: UidValidity::new(100 + id).unwrap(),
            special_use: SpecialUse::NONE,
            created_ms: 5,
        }
    }

    fn tree(names: &[&str]) -> Tree {
        let mut tree = Tree::default();
        for (id, mailbox) in (1..).zip(names) {
            let effect = TreeEffect::Create {
                name: name(mailbox),
                entry: entry(id),
            };
            tree.apply(ModSeq(u64::from(id)), &[effect]).unwrap();
        }
        tree
    }

    #[test]
    fn create_makes_missing_parents() {
        let tree = tree(&["INBOX", "a"]);
        let mut id = 10;
        let effects = tree.create(&name("a/b/c"), |_| {
            id += 1;
            Ok(entry(id))
        });
        let created: Vec<_> = effects.unwrap();
        assert_eq!(
            created,
            [("a/b", 11), ("a/b/c", 12)].map(|(n, id)| TreeEffect::Create {
                name: name(n),
                entry: entry(id)
            })
        );
    }

    #[test]
    fn children_are_found_past_other_names() {
        let tree = tree(&["a", "a!", "a/b", "a/b/c", "ab"]);
        let found: Vec<_> = tree.children(&name("a")).map(|(n, _)| n.as_str()).collect();
        assert_eq!(found, ["a/b", "a/b/c"]);
        assert!(!tree.has_children(&name("ab")));
    }

    #[test]
    fn records_and_roots_come_back() {
        let record = TreeRecord {
            parent: 7,
            wall_ms: 1,
            nonce: 2,
            effects: vec![
                TreeEffect::Create {
                    name: name("Entw\u{fc}rfe"),
                    entry: Entry {
                        special_use: SpecialUse::DRAFTS,
                        ..entry(1)
                    },
                },
                TreeEffect::Rename {
                    id: MailboxId(1),
                    name: name("Drafts"),
                },
                TreeEffect::Subscribe { name: name("x") },
                TreeEffect::Subscribe { name: name("y") },
                TreeEffect::Unsubscribe { name: name("x") },
                TreeEffect::SpecialUse {
                    id: MailboxId(1),
                    special_use: SpecialUse::DRAFTS | SpecialUse::FLAGGED,
                },
                TreeEffect::Metadata {
                    mailbox: Some(MailboxId(1)),
                    entry: "/private/comment".into(),
                    value: Some(b"mine".as_slice().into()),
                },
                TreeEffect::Acl {
                    mailbox: MailboxId(1),
                    identifier: "anyone".into(),
                    rights: 3,
                },
            ],
        };
        let bytes = record.encode();
        assert_eq!(TreeRecord::decode(&bytes), Ok(record.clone()));
        for cut in 0..bytes.len() {
            // A record has no length of its own: a cut between two effects is the chain's to find.
            let _ = TreeRecord::decode(&bytes[..cut]);
        }
        let mut tree = Tree::default();
        tree.apply(ModSeq(9), &record.effects).unwrap();
        assert_eq!(Tree::decode(&tree.encode()), Ok(tree.clone()));
        assert_eq!(tree.by_id(MailboxId(1)).unwrap().0, &name("Drafts"));
        let gone = tree.apply(ModSeq(10), &[TreeEffect::Delete { id: MailboxId(1) }]);
        assert!(gone.is_some() && tree.mailboxes.is_empty() && tree.metadata.is_empty());
    }

    #[test]
    fn special_uses_by_name() {
        let both = SpecialUse::from_name("\\sent").unwrap() | SpecialUse::ARCHIVE;
        assert_eq!(both.names().collect::<Vec<_>>(), ["\\Archive", "\\Sent"]);
        assert_eq!(SpecialUse::from_name("\\Inbox"), None);
    }
}
