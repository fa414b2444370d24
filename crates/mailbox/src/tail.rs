//! Where the log of a mailbox stands: the row that every transaction replaces.

use bytes::Bytes;

use crate::{
    codec::{DecodeError, Decoded, Reader, put_varint},
    types::{ModSeq, Uid, UidValidity},
};

/// What may be done with a mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TailState {
    /// Everything.
    Live,
    /// Reads only, for now (it is being moved or repaired).
    Frozen,
    /// It was deleted; its rows wait for the retention time.
    Deleted,
}

/// A checkpoint: its key is the modseq at which it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RootRef {
    /// The mailbox's modseq when it was made, and its key.
    pub modseq: ModSeq,
}

/// Where the log of a mailbox stands (≈ 100 bytes stored). A transaction replaces the tail that it was
/// built on, byte for byte; STATUS needs nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tail {
    /// What may be done with it.
    pub state: TailState,
    /// UIDVALIDITY; never changes.
    pub uid_validity: UidValidity,
    /// That of the newest record; HIGHESTMODSEQ.
    pub modseq: ModSeq,
    /// A hash of the newest record and, through its parent, of everything before. 0 for an empty log.
    pub chain: u64,
    /// The wall time of the newest record, in milliseconds since 1970.
    pub wall_ms: i64,
    /// UIDNEXT.
    pub uid_next: Uid,
    /// How many messages there are.
    pub messages: u32,
    /// Those without `\Seen`.
    pub unseen: u32,
    /// Those with `\Deleted`.
    pub deleted: u32,
    /// The sum of their sizes in bytes.
    pub size: u64,
    /// What vanished up to this modseq can only be told by absence: the log does not have it all.
    pub vanished_floor: ModSeq,
    /// The newest checkpoint. None: the log begins with the first record.
    pub root: Option<RootRef>,
}

const VERSION: u8 = 1;

impl Tail {
    /// An empty mailbox, at modseq 1 (design §3, rule 7).
    pub fn new(uid_validity: UidValidity) -> Self {
        Self {
            state: TailState::Live,
            uid_validity,
            modseq: ModSeq::FIRST,
            chain: 0,
            wall_ms: 0,
            uid_next: Uid::MIN,
            messages: 0,
            unseen: 0,
            deleted: 0,
            size: 0,
            vanished_floor: ModSeq::ZERO,
            root: None,
        }
    }

    /// As it is stored.
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(64);
        out.push(VERSION);
        out.push(match self.state {
            TailState::Live => 0,
            TailState::Frozen => 1,
            TailState::Deleted => 2,
        });
        out.extend_from_slice(&self.uid_validity.get().to_le_bytes());
        out.extend_from_slice(&self.chain.to_le_bytes());
        out.extend_from_slice(&self.wall_ms.to_le_bytes());
        put_varint(&mut out, self.modseq.0);
        put_varint(&mut out, u64::from(self.uid_next.get()));
        put_varint(&mut out, u64::from(self.messages));
        put_varint(&mut out, u64::from(self.unseen));
        put_varint(&mut out, u64::from(self.deleted));
        put_varint(&mut out, self.size);
        put_varint(&mut out, self.vanished_floor.0);
        put_varint(&mut out, self.root.map_or(0, |root| root.modseq.0));
        out.into()
    }

    /// From what [`Tail::encode`] gave.
    ///
    /// # Errors
    /// [`DecodeError`] for anything else.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("mailbox tail", bytes);
        let tail = Self::read(&mut reader)?;
        reader.end()?;
        Ok(tail)
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Decoded<Self> {
        if reader.u8()? != VERSION {
            return Err(reader.damaged());
        }
        let state = match reader.u8()? {
            0 => TailState::Live,
            1 => TailState::Frozen,
            2 => TailState::Deleted,
            _ => return Err(reader.damaged()),
        };
        let uid_validity = UidValidity::new(reader.u32_le()?).ok_or(reader.damaged())?;
        let chain = reader.u64_le()?;
        let wall_ms = reader.u64_le()? as i64;
        let modseq = read_modseq(reader)?;
        let uid_next = Uid::new(reader.varint_u32()?).ok_or(reader.damaged())?;
        let messages = reader.varint_u32()?;
        let unseen = reader.varint_u32()?;
        let deleted = reader.varint_u32()?;
        let size = reader.varint()?;
        let vanished_floor = read_modseq(reader)?;
        let root = Some(read_modseq(reader)?).filter(|modseq| *modseq != ModSeq::ZERO);
        if unseen > messages || deleted > messages || messages >= uid_next.get() {
            return Err(reader.damaged());
        }
        let root = root.map(|modseq| RootRef { modseq });
        Ok(Self {
            state,
            uid_validity,
            modseq,
            chain,
            wall_ms,
            uid_next,
            messages,
            unseen,
            deleted,
            size,
            vanished_floor,
            root,
        })
    }
}

pub(crate) fn read_modseq(reader: &mut Reader<'_>) -> Decoded<ModSeq> {
    let modseq = ModSeq(reader.varint()?);
    if modseq <= ModSeq::MAX {
        Ok(modseq)
    } else {
        Err(reader.damaged())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn comes_back() {
        let mut tail = Tail::new(UidValidity::new(1_790_000_000).expect("not 0"));
        assert_eq!(Tail::decode(&tail.encode()), Ok(tail.clone()));
        tail = Tail {
            state: TailState::Deleted,
            modseq: ModSeq::MAX,
            chain: u64::MAX,
            wall_ms: -1,
            uid_next: Uid::MAX,
            messages: u32::MAX - 1,
            unseen: 9,
            deleted: 7,
            size: u64::MAX,
            vanished_floor: ModSeq(77),
            root: Some(RootRef { modseq: ModSeq(76) }),
            ..tail
        };
        let bytes = tail.encode();
        assert!(bytes.len() <= 100, "{}", bytes.len());
        assert_eq!(Tail::decode(&bytes), Ok(tail));
        for end in 0..bytes.len() {
            assert!(Tail::decode(&bytes[..end]).is_err());
        }
    }

    proptest! {
        #[test]
        fn damage_never_panics(bytes: Vec<u8>) {
            let _ = Tail::decode(&bytes);
        }
    }
}
