//! Finds parts in a BODYSTRUCTURE.

use std::num::NonZeroU32;

use crate::types::{BodyStructure, SinglePartKind};

impl BodyStructure {
    /// The part that a section number such as `1.2` names; the empty path is the body itself.
    /// The only part of a message that is no multipart is part 1 (RFC 9051 §6.4.5.1).
    pub fn part(&self, path: &[NonZeroU32]) -> Option<&BodyStructure> {
        let Some((number, rest)) = path.split_first() else {
            return Some(self);
        };
        match self {
            Self::Multi(multi) => {
                let index = usize::try_from(number.get()).ok()? - 1;
                multi.parts.get(index)?.below(rest)
            }
            Self::Single(_) if number.get() == 1 => self.below(rest),
            Self::Single(_) => None,
        }
    }

    /// The rest of a path below a part: it goes on in a multipart or an embedded message.
    fn below(&self, path: &[NonZeroU32]) -> Option<&BodyStructure> {
        if path.is_empty() {
            return Some(self);
        }
        match self {
            Self::Multi(_) => self.part(path),
            Self::Single(single) => match &single.kind {
                SinglePartKind::Message(_, body, _) => body.part(path),
                _ => None,
            },
        }
    }
}
