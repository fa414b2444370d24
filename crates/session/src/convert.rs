//! Between the words of the wire and those of the mailbox.

use std::num::NonZeroU32;

use restante_mailbox::{
    AccountId, DateTime, EmailId, FlagNames, Flags, Keywords, MailError, MailboxId, MailboxName,
    ThreadId, Uid, UidValidity,
};
use restante_proto::types::{
    self as wire, Code, Flag, ListAttribute, ListEntry, ListExtended, ObjectId, UntaggedData,
};

use crate::cx::Cx;
use crate::reply::{Failure, Reply, client_bug};

/// The canonical name of a mailbox that a client named.
pub(crate) fn mailbox_name(name: &wire::MailboxName) -> Result<MailboxName, Failure> {
    MailboxName::new(name.as_str()).map_err(|error| Failure::Mail(MailError::Name(error)))
}

/// The same of a mailbox that is to be made, which may have fewer.
pub(crate) fn new_mailbox_name(name: &wire::MailboxName) -> Result<MailboxName, Failure> {
    let name = mailbox_name(name)?;
    name.check_new()
        .map_err(|error| Failure::Mail(MailError::Name(error)))?;
    Ok(name)
}

/// A mailbox's name for a response.
pub(crate) fn wire_name(name: &MailboxName) -> wire::MailboxName {
    wire::MailboxName::new(name.as_str())
}

/// OLDNAME if the client's spelling of a name was not the canonical one (RFC 9051 §6.3.9.7). INBOX
/// in another case is no other name.
pub(crate) fn old_name(
    given: &wire::MailboxName,
    canonical: &wire::MailboxName,
) -> Vec<ListExtended> {
    match given == canonical {
        true => Vec::new(),
        false => vec![ListExtended::OldName(given.clone())],
    }
}

/// The untagged LIST that tells the name that was meant, where a client of IMAP4rev2 gave another spelling
/// of it (RFC 9051 §6.3.9.7).
pub(crate) fn tell_name(
    cx: &mut Cx,
    attributes: Vec<ListAttribute>,
    given: &wire::MailboxName,
    canonical: &MailboxName,
) {
    if cx.enabled.rev2() && is_respelled(given, canonical) {
        cx.data(&UntaggedData::List(ListEntry {
            attributes,
            separator: Some(MailboxName::SEPARATOR),
            mailbox: wire_name(canonical),
            extended: vec![ListExtended::OldName(unslashed(given))],
        }));
    }
}

/// Whether the client's spelling of a name is not the canonical one. INBOX in another case is no other
/// name.
pub(crate) fn is_respelled(given: &wire::MailboxName, canonical: &MailboxName) -> bool {
    unslashed(given) != wire_name(canonical) && !canonical.is_inbox()
}

/// The name without the separator that may stand at the end of one.
fn unslashed(given: &wire::MailboxName) -> wire::MailboxName {
    let name = given.as_str();
    wire::MailboxName::new(name.strip_suffix(MailboxName::SEPARATOR).unwrap_or(name))
}

/// A UID for a response.
pub(crate) fn wire_uid(uid: Uid) -> Option<wire::Uid> {
    wire::Uid::new(uid.get())
}

/// UIDs for a response: runs are joined, the order is kept.
pub(crate) fn wire_uids(uids: impl IntoIterator<Item = Uid>) -> wire::UidSet {
    wire::UidSet::from_numbers(uids.into_iter().filter_map(wire_uid))
}

/// Numbers that are UIDs or sequence numbers, for a response.
pub(crate) fn id_set(numbers: impl IntoIterator<Item = u32>) -> wire::IdSet {
    wire::IdSet::from_numbers(numbers.into_iter().filter_map(NonZeroU32::new))
}

/// A UIDVALIDITY for a response.
pub(crate) fn wire_uid_validity(uid_validity: UidValidity) -> Option<wire::UidValidity> {
    wire::UidValidity::new(uid_validity.get())
}

/// The flags that a client wants set. `\Recent` and system flags that do not exist cannot be
/// (RFC 3501 §2.3.2; RFC 9051 §2.3.2).
pub(crate) fn flag_names(flags: &[Flag]) -> Result<FlagNames, Failure> {
    let mut names = FlagNames::default();
    for flag in flags {
        let system = match flag {
            Flag::Seen => Flags::SEEN,
            Flag::Answered => Flags::ANSWERED,
            Flag::Flagged => Flags::FLAGGED,
            Flag::Deleted => Flags::DELETED,
            Flag::Draft => Flags::DRAFT,
            Flag::Keyword(keyword) => {
                if !Keywords::is_name(keyword.as_str()) {
                    let reply = Reply::no("The keyword is too long").code(Code::Limit);
                    return Err(reply.into());
                }
                names.keywords.push(keyword.as_str().into());
                continue;
            }
            Flag::Recent => return Err(client_bug("\\Recent cannot be set")),
            Flag::Extension(_) => return Err(client_bug("No such system flag")),
        };
        names.system = names.system | system;
    }
    Ok(names)
}

/// A moment that a client gave.
pub(crate) fn date_time(date: wire::DateTime) -> DateTime {
    DateTime {
        unix_s: date.unix_seconds(),
        zone_min: date.zone_minutes(),
    }
}

/// A moment for a response. What no client could have given is shown as the beginning of 1970.
pub(crate) fn wire_date_time(date: DateTime) -> wire::DateTime {
    wire::DateTime::new(date.unix_s, date.zone_min).unwrap_or(wire::DateTime::EPOCH)
}

/// MAILBOXID (RFC 8474 §4). It carries the account's number, so it is unique on the server.
pub(crate) fn mailbox_id(account: AccountId, id: MailboxId) -> Id {
    Id::new('F', account, u64::from(id.0))
}

/// EMAILID (RFC 8474 §5.1), unique on the server.
pub(crate) fn email_id(account: AccountId, id: EmailId) -> Id {
    Id::new('M', account, id.0)
}

/// THREADID (RFC 8474 §5.2), unique on the server.
pub(crate) fn thread_id(account: AccountId, id: ThreadId) -> Id {
    Id::new('T', account, id.0)
}

/// An object identifier as text, without an allocation: `M` account `-` number, in hexadecimal.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Id {
    bytes: [u8; 26],
    length: usize,
}

impl Id {
    fn new(kind: char, account: AccountId, number: u64) -> Id {
        let mut id = Id {
            bytes: [0; 26],
            length: 0,
        };
        id.push(kind as u8);
        id.hex(u64::from(account.0));
        id.push(b'-');
        id.hex(number);
        id
    }

    fn push(&mut self, byte: u8) {
        self.bytes[self.length] = byte;
        self.length += 1;
    }

    fn hex(&mut self, number: u64) {
        let digits = (64 - number.leading_zeros()).div_ceil(4).max(1);
        for digit in (0..digits).rev() {
            let nibble = (number >> (4 * digit) & 0xf) as usize;
            self.push(b"0123456789abcdef"[nibble]);
        }
    }

    /// The text.
    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }

    /// The text as the protocol's type.
    pub(crate) fn object_id(&self) -> Option<ObjectId> {
        ObjectId::new(self.as_str())
    }
}

/// The number in an identifier of this kind and account that a client sent (SEARCH EMAILID).
pub(crate) fn parse_id(kind: char, account: AccountId, id: &ObjectId) -> Option<u64> {
    let rest = id.as_str().strip_prefix(kind)?;
    let (of, number) = rest.split_once('-')?;
    let (of, number) = (
        u32::from_str_radix(of, 16).ok()?,
        u64::from_str_radix(number, 16).ok()?,
    );
    // One spelling only.
    let same = Id::new(kind, account, number).as_str() == id.as_str();
    (of == account.0 && same).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_go_both_ways() {
        for number in [0, 1, 15, 16, 255, u64::MAX] {
            let account = AccountId(u32::MAX);
            let id = email_id(account, EmailId(number));
            let object = id.object_id().expect("a valid id");
            assert_eq!(parse_id('M', account, &object), Some(number));
            assert_eq!(parse_id('T', account, &object), None);
            assert_eq!(parse_id('M', AccountId(1), &object), None);
        }
        assert_eq!(mailbox_id(AccountId(1), MailboxId(0x2a)).as_str(), "F1-2a");
        let padded = ObjectId::new("M1-02").expect("a valid id");
        assert_eq!(parse_id('M', AccountId(1), &padded), None);
    }
}
