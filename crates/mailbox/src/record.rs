//! Records: what one transaction did to a mailbox, and how it is stored.

use bytes::Bytes;

use crate::{
    codec::{DecodeError, Decoded, Reader, put_bytes, put_signed, put_u128, put_varint},
    flags::{Flags, Slot},
    keywords::Keywords,
    snapshot::{ChunkRef, Made, decode_rows, encode_rows},
    tail::Tail,
    types::{AccountId, DateTime, EmailId, ModSeq, Row, Uid},
    uid_set::UidSet,
};

/// A message that a record brings into the mailbox; its modseq is the record's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewRow {
    /// Its UID: at least UIDNEXT, and larger than those before it.
    pub uid: Uid,
    /// The email.
    pub email: EmailId,
    /// RFC822.SIZE, in bytes.
    pub size: u64,
    /// INTERNALDATE.
    pub internal_date: DateTime,
    /// When it came into this mailbox, in seconds since 1970.
    pub save_date_s: i64,
    /// Its flags, by this mailbox's slots.
    pub flags: Flags,
}

impl NewRow {
    /// As a row of the mailbox.
    pub const fn row(self, modseq: ModSeq) -> Row {
        let Self {
            uid,
            email,
            size,
            internal_date,
            save_date_s,
            flags,
        } = self;
        Row {
            uid,
            email,
            size,
            internal_date,
            save_date_s,
            flags,
            modseq,
        }
    }
}

impl From<&Row> for NewRow {
    fn from(row: &Row) -> Self {
        let Row {
            uid,
            email,
            size,
            internal_date,
            save_date_s,
            flags,
            ..
        } = *row;
        Self {
            uid,
            email,
            size,
            internal_date,
            save_date_s,
            flags,
        }
    }
}

/// One thing that a transaction did. What an effect means is frozen for its format version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// New messages, UIDs ascending.
    Append(Vec<NewRow>),
    /// New messages whose rows were stored as parts of chunks before the commit (a record may not be
    /// larger than [`Record::BYTES_MAX`]).
    AppendChunks(Vec<ChunkRef>),
    /// `flags = flags & !clear | set` for the messages in `uids`. A row and its modseq change only if
    /// its flags change; UIDs that do not exist are passed over.
    SetFlags {
        /// Which.
        uids: UidSet,
        /// Taken away first.
        clear: Flags,
        /// Then added.
        set: Flags,
    },
    /// The messages in `uids` are gone; UIDs that do not exist are passed over.
    Expunge {
        /// Which.
        uids: UidSet,
    },
    /// A free slot gets a name.
    DefineKeyword {
        /// The slot.
        slot: Slot,
        /// Its name.
        name: Box<str>,
    },
    /// A slot whose bit is 0 in all rows loses its name.
    FreeKeyword {
        /// The slot.
        slot: Slot,
    },
    /// An annotation of the mailbox (RFC 5464) is set, or taken away with no value.
    Annotate {
        /// The entry's name, as the caller compares it.
        entry: Box<str>,
        /// Its value.
        value: Option<Bytes>,
    },
    /// UIDNEXT and modseq move ahead (design §3, rule 6): what may have been there in between is
    /// declared vanished. Only as the first effect of a record.
    Jump {
        /// How far UIDNEXT moves.
        uids: u32,
        /// How far the modseq moves, at least 1.
        modseqs: u64,
        /// Whether every row gets the record's modseq, so that clients fetch all flags again.
        touch: bool,
    },
    /// Flags of one user of a shared mailbox. Reserved: the fold keeps the shared rows as they are.
    Private {
        /// Whose.
        user: AccountId,
        /// Which.
        uids: UidSet,
        /// Taken away first.
        clear: Flags,
        /// Then added.
        set: Flags,
    },
}

/// What one transaction did: the entry of the mailbox's log at key `modseq`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    modseq: ModSeq,
    parent: u64,
    wall_ms: i64,
    nonce: u64,
    effects: Vec<Effect>,
    bytes: Bytes,
    chain: u64,
}

/// A record cannot be built: the mailbox's modseqs or UIDs have come to their end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the mailbox has no modseq left")]
pub struct NoModSeq;

const VERSION: u8 = 1;

impl Record {
    /// A record larger than this is not to be committed: its rows go into chunks first.
    pub const BYTES_MAX: usize = 64 << 10;

    /// The next record of the log that `tail` is the end of. `nonce` is the writer's, by which it finds
    /// its own record after an unknown outcome. The wall time never falls below the one before.
    ///
    /// # Errors
    /// [`NoModSeq`] when the modseqs are used up.
    pub fn new(
        tail: &Tail,
        wall_ms: i64,
        nonce: u64,
        effects: Vec<Effect>,
    ) -> Result<Self, NoModSeq> {
        let modseq = tail
            .modseq
            .checked_add(modseq_step(&effects))
            .ok_or(NoModSeq)?;
        let (parent, wall_ms) = (tail.chain, wall_ms.max(tail.wall_ms));
        let mut out = Vec::with_capacity(64);
        out.push(VERSION);
        out.extend_from_slice(&parent.to_le_bytes());
        out.extend_from_slice(&nonce.to_le_bytes());
        put_signed(&mut out, wall_ms);
        put_varint(&mut out, effects.len() as u64);
        for effect in &effects {
            effect.encode(&mut out);
        }
        let bytes = Bytes::from(out);
        let chain = chain(modseq, &bytes);
        Ok(Self {
            modseq,
            parent,
            wall_ms,
            nonce,
            effects,
            bytes,
            chain,
        })
    }

    /// From the value at key `modseq` of the log.
    ///
    /// # Errors
    /// [`DecodeError`] for anything but what [`Record::bytes`] gave.
    pub fn decode(modseq: ModSeq, bytes: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("mailbox record", &bytes);
        if reader.u8()? != VERSION {
            return Err(reader.damaged());
        }
        let parent = reader.u64_le()?;
        let nonce = reader.u64_le()?;
        let wall_ms = reader.signed()?;
        let count = reader.count()?;
        let mut effects = Vec::new();
        for _ in 0..count {
            effects.push(Effect::decode(&mut reader)?);
        }
        reader.end()?;
        let chain = chain(modseq, &bytes);
        Ok(Self {
            modseq,
            parent,
            wall_ms,
            nonce,
            effects,
            bytes,
            chain,
        })
    }

    /// As it is stored, at key [`Record::modseq`].
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Its key, and the modseq of everything that it changed.
    pub fn modseq(&self) -> ModSeq {
        self.modseq
    }

    /// The chain of the tail that it was built on.
    pub fn parent(&self) -> u64 {
        self.parent
    }

    /// The chain of the tail after it: a hash of its modseq and bytes, which contain its parent's chain
    /// and the writer's nonce. Never 0.
    pub fn chain(&self) -> u64 {
        self.chain
    }

    /// Which transaction made the parts that change with it.
    pub(crate) fn made(&self) -> Made {
        Made {
            modseq: self.modseq,
            salt: self.chain as u32,
        }
    }

    /// When it was written, in milliseconds since 1970; never below its predecessor's.
    pub fn wall_ms(&self) -> i64 {
        self.wall_ms
    }

    /// The writer's.
    pub fn nonce(&self) -> u64 {
        self.nonce
    }

    /// What it did, in this order.
    pub fn effects(&self) -> &[Effect] {
        &self.effects
    }

    /// How far its modseq lies after its predecessor's: 1 unless a jump says otherwise.
    pub(crate) fn step(&self) -> u64 {
        modseq_step(&self.effects)
    }

    /// The UIDs whose rows have to be loaded for it to be applied.
    pub fn needs(&self) -> UidSet {
        self.effects
            .iter()
            .fold(UidSet::new(), |needs, effect| match effect {
                Effect::SetFlags { uids, .. } | Effect::Expunge { uids } => needs.union(uids),
                Effect::Jump { touch: true, .. } => UidSet::all(),
                _ => needs,
            })
    }

    /// The UIDs that it names as expunged or skipped, for VANISHED (EARLIER) (RFC 7162 §3.2.5.1). Some
    /// of them may not have existed.
    pub fn expunged(&self) -> UidSet {
        self.effects
            .iter()
            .fold(UidSet::new(), |gone, effect| match effect {
                Effect::Expunge { uids } => gone.union(uids),
                _ => gone,
            })
    }

    /// The emails that it brought into the mailbox by rows of its own.
    pub fn appended(&self) -> impl Iterator<Item = &NewRow> {
        self.effects.iter().flat_map(|effect| match effect {
            Effect::Append(rows) => &rows[..],
            _ => &[],
        })
    }
}

fn chain(modseq: ModSeq, bytes: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64_with_seed(bytes, modseq.0).max(1)
}

/// How far after its predecessor a record with these effects comes.
pub(crate) fn modseq_step(effects: &[Effect]) -> u64 {
    match effects.first() {
        Some(Effect::Jump { modseqs, .. }) => *modseqs,
        _ => 1,
    }
}

impl Effect {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Append(rows) => {
                out.push(1);
                encode_rows(rows, out);
            }
            Self::AppendChunks(chunks) => {
                out.push(2);
                put_varint(out, chunks.len() as u64);
                for chunk in chunks {
                    chunk.encode(out);
                }
            }
            Self::SetFlags { uids, clear, set } => {
                out.push(3);
                uids.encode(out);
                put_u128(out, clear.0);
                put_u128(out, set.0);
            }
            Self::Expunge { uids } => {
                out.push(4);
                uids.encode(out);
            }
            Self::DefineKeyword { slot, name } => {
                out.extend_from_slice(&[5, slot.get()]);
                put_bytes(out, name.as_bytes());
            }
            Self::FreeKeyword { slot } => out.extend_from_slice(&[6, slot.get()]),
            Self::Annotate { entry, value } => {
                out.extend_from_slice(&[7, u8::from(value.is_some())]);
                put_bytes(out, entry.as_bytes());
                put_bytes(out, value.as_deref().unwrap_or_default());
            }
            Self::Jump {
                uids,
                modseqs,
                touch,
            } => {
                out.extend_from_slice(&[8, u8::from(*touch)]);
                put_varint(out, u64::from(*uids));
                put_varint(out, *modseqs);
            }
            Self::Private {
                user,
                uids,
                clear,
                set,
            } => {
                out.push(9);
                put_varint(out, u64::from(user.0));
                uids.encode(out);
                put_u128(out, clear.0);
                put_u128(out, set.0);
            }
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Decoded<Self> {
        Ok(match reader.u8()? {
            1 => Self::Append(decode_rows(reader)?),
            2 => {
                let count = reader.count()?;
                let mut chunks = Vec::new();
                for _ in 0..count {
                    chunks.push(ChunkRef::decode(reader)?);
                }
                Self::AppendChunks(chunks)
            }
            3 => Self::SetFlags {
                uids: UidSet::decode(reader)?,
                clear: Flags(reader.u128()?),
                set: Flags(reader.u128()?),
            },
            4 => Self::Expunge {
                uids: UidSet::decode(reader)?,
            },
            5 => {
                let slot = decode_slot(reader)?;
                let name = reader.str()?;
                if !Keywords::is_name(name) {
                    return Err(reader.damaged());
                }
                Self::DefineKeyword {
                    slot,
                    name: name.into(),
                }
            }
            6 => Self::FreeKeyword {
                slot: decode_slot(reader)?,
            },
            7 => {
                let some = decode_bool(reader)?;
                let entry = reader.str()?.into();
                let value = reader.bytes()?;
                if !some && !value.is_empty() {
                    return Err(reader.damaged());
                }
                Self::Annotate {
                    entry,
                    value: some.then(|| Bytes::copy_from_slice(value)),
                }
            }
            8 => {
                let touch = decode_bool(reader)?;
                let (uids, modseqs) = (reader.varint_u32()?, reader.varint()?);
                if modseqs == 0 {
                    return Err(reader.damaged());
                }
                Self::Jump {
                    uids,
                    modseqs,
                    touch,
                }
            }
            9 => Self::Private {
                user: AccountId(reader.varint_u32()?),
                uids: UidSet::decode(reader)?,
                clear: Flags(reader.u128()?),
                set: Flags(reader.u128()?),
            },
            _ => return Err(reader.damaged()),
        })
    }
}

fn decode_slot(reader: &mut Reader<'_>) -> Decoded<Slot> {
    Slot::new(reader.u8()?).ok_or(reader.damaged())
}

fn decode_bool(reader: &mut Reader<'_>) -> Decoded<bool> {
    match reader.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(reader.damaged()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::types::UidValidity;

    fn tail() -> Tail {
        Tail::new(UidValidity::new(1).expect("not 0"))
    }

    fn uid(number: u32) -> Uid {
        Uid::new(number).expect("not 0")
    }

    /// One of each kind.
    fn effects() -> Vec<Effect> {
        let slot = Slot::new(122).expect("a slot");
        let row = NewRow {
            uid: uid(40),
            email: EmailId(u64::MAX),
            size: u64::MAX,
            internal_date: DateTime {
                unix_s: i64::MIN,
                zone_min: -1,
            },
            save_date_s: i64::MAX,
            flags: Flags::ALL,
        };
        let rows = vec![
            row,
            NewRow {
                uid: uid(90),
                flags: Flags::NONE,
                ..row
            },
        ];
        let (chunks, _) = crate::snapshot::chunks_of(&rows, ModSeq(5), 3);
        let uids = UidSet::from_range(uid(3), uid(9));
        let (clear, set) = (Flags::SYSTEM, Flags(1 << 100));
        vec![
            Effect::Jump {
                uids: 9,
                modseqs: 4,
                touch: true,
            },
            Effect::Append(rows),
            Effect::AppendChunks(chunks),
            Effect::SetFlags {
                uids: uids.clone(),
                clear,
                set,
            },
            Effect::Expunge { uids: uids.clone() },
            Effect::DefineKeyword {
                slot,
                name: "$Junk".into(),
            },
            Effect::FreeKeyword { slot },
            Effect::Annotate {
                entry: "/private/comment".into(),
                value: Some("x".into()),
            },
            Effect::Annotate {
                entry: "/shared/comment".into(),
                value: None,
            },
            Effect::Private {
                user: AccountId(8),
                uids,
                clear,
                set,
            },
        ]
    }

    #[test]
    fn every_effect_comes_back() {
        let record = Record::new(&tail(), 77, 88, effects()).expect("room");
        assert_eq!(
            (record.modseq(), record.wall_ms(), record.nonce()),
            (ModSeq(5), 77, 88)
        );
        let bytes = record.bytes().clone();
        assert_eq!(Record::decode(record.modseq(), bytes.clone()), Ok(record));
        for end in 0..bytes.len() {
            assert!(Record::decode(ModSeq(5), bytes.slice(..end)).is_err());
        }
    }

    #[test]
    fn the_chain_depends_on_everything() {
        let of = |tail: &Tail, nonce| {
            let effects = vec![Effect::Expunge {
                uids: UidSet::from(uid(1)),
            }];
            Record::new(tail, 0, nonce, effects).expect("room").chain()
        };
        let other_parent = Tail { chain: 1, ..tail() };
        let later = Tail {
            modseq: ModSeq(2),
            ..tail()
        };
        let chains = [
            of(&tail(), 1),
            of(&tail(), 2),
            of(&other_parent, 1),
            of(&later, 1),
        ];
        for (at, chain) in chains.iter().enumerate() {
            assert!(!chains[..at].contains(chain));
        }
    }

    #[test]
    fn the_wall_time_never_falls() {
        let tail = Tail {
            wall_ms: 5000,
            ..tail()
        };
        assert_eq!(
            Record::new(&tail, 4000, 0, Vec::new())
                .expect("room")
                .wall_ms(),
            5000
        );
    }

    #[test]
    fn modseqs_end() {
        let last = Tail {
            modseq: ModSeq::MAX,
            ..tail()
        };
        assert_eq!(Record::new(&last, 0, 0, Vec::new()), Err(NoModSeq));
        let jump = vec![Effect::Jump {
            uids: 0,
            modseqs: u64::MAX,
            touch: false,
        }];
        assert_eq!(Record::new(&tail(), 0, 0, jump), Err(NoModSeq));
    }

    #[test]
    fn a_store_on_everything_is_small() {
        let uids = UidSet::from_range(Uid::MIN, uid(100_000));
        let set = vec![Effect::SetFlags {
            uids,
            clear: Flags::NONE,
            set: Flags::SEEN,
        }];
        let record = Record::new(&tail(), 1_790_000_000_000, u64::MAX, set).expect("room");
        assert!(record.bytes().len() < 64, "{}", record.bytes().len());
    }

    proptest! {
        #[test]
        fn damage_never_panics(at in 0..400_usize, with: u8, cut in 0..400_usize) {
            let record = Record::new(&tail(), 0, 0, effects()).expect("room");
            let mut bytes = record.bytes().to_vec();
            let length = bytes.len();
            bytes[at % length] ^= with;
            let _ = Record::decode(ModSeq(5), bytes.clone().into());
            bytes.truncate(cut);
            let _ = Record::decode(ModSeq(5), bytes.into());
        }

        #[test]
        fn noise_never_panics(mut bytes: Vec<u8>) {
            bytes.insert(0, VERSION);
            let _ = Record::decode(ModSeq(5), bytes.into());
        }
    }
}
