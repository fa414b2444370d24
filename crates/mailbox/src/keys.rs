//! The keys of the store: account first, so that an account is contiguous; all big-endian.
//!
//! | table | key after `account u32, table u8` |
//! | --- | --- |
//! | app password | number u64 |
//! | login | time u64 |
//! | hidden words | – |
//! | account tail | – |
//! | account log, account root | modseq u64 |
//! | URL key | account of the mailbox u32, mailbox u32 |
//! | mailbox tail | mailbox u32 |
//! | mailbox log | mailbox u32, modseq u64 |
//! | mailbox root | mailbox u32, modseq u64 |
//! | pages and parts of mailboxes | mailbox u32, name of the part (21 bytes) |
//! | what users have seen of mailboxes | mailbox u32, account of the user u32 |
//! | email | EmailId u64 |
//! | thread | hash of a Message-ID u64 |
//! | mark, tombstone | EmailId u64 |
//!
//! Account 0 is the server itself: directory, counters, removed accounts.

use restante_store::{Key, KeyRange, prefix_range};

use crate::{
    snapshot::PartKey,
    types::{AccountId, EmailId, MailboxId, ModSeq},
};

/// The account number of the server itself.
pub(crate) const SERVER: AccountId = AccountId(0);

/// The tables. A number is never used again for something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Table {
    /// Account 0: user name → user row.
    User = 0x01,
    /// Account 0: account number → user name.
    UserOfAccount = 0x02,
    /// Account 0: named counters.
    Counter = 0x03,
    /// Account 0: accounts whose data waits for its removal.
    Removed = 0x04,
    /// Account 0: account number, kind → keys of SCRAM; account 0 has the secret of made-up salts.
    Scram = 0x05,
    /// Number u64 → an app password.
    AppPassword = 0x06,
    /// Time in ms u64 → what is known of a login, as the server writes it.
    Login = 0x07,
    /// Account 0: what the server keeps of failed logins.
    Throttle = 0x08,
    /// Account 0: identifier, a zero byte, account number → nothing: the account grants it rights.
    Share = 0x09,
    /// Words that are hidden from the account's user.
    HiddenWords = 0x0c,
    AccountTail = 0x10,
    AccountLog = 0x11,
    AccountRoot = 0x12,
    /// Account and number of a mailbox → the key that authorizes URLs to it.
    UrlKey = 0x13,
    MailboxTail = 0x20,
    MailboxLog = 0x21,
    MailboxRoot = 0x22,
    MailboxPart = 0x23,
    /// Account of a user → what this user, who is not the owner, has seen.
    MailboxSeen = 0x24,
    Email = 0x30,
    Thread = 0x31,
    Mark = 0x32,
    Tombstone = 0x33,
}

fn key(account: AccountId, table: Table, rest: usize) -> Key {
    let mut key = Vec::with_capacity(5 + rest);
    key.extend_from_slice(&account.0.to_be_bytes());
    key.push(table as u8);
    key
}

fn in_account(account: AccountId, table: Table, id: u64) -> Key {
    let mut key = key(account, table, 8);
    key.extend_from_slice(&id.to_be_bytes());
    key
}

fn in_mailbox(account: AccountId, table: Table, mailbox: MailboxId, id: u64) -> Key {
    let mut key = key(account, table, 12);
    key.extend_from_slice(&mailbox.0.to_be_bytes());
    key.extend_from_slice(&id.to_be_bytes());
    key
}

/// The email whose blob has this key as its owner.
pub fn owner_of_blob(key: &[u8]) -> Option<(AccountId, EmailId)> {
    let (account, rest) = key.split_first_chunk()?;
    let (table, number) = rest.split_first()?;
    let number: [u8; 8] = number.try_into().ok()?;
    let is_email = *table == Table::Email as u8;
    is_email.then(|| {
        let account = AccountId(u32::from_be_bytes(*account));
        (account, EmailId(u64::from_be_bytes(number)))
    })
}

/// All rows of one table of an account.
pub(crate) fn table(account: AccountId, table: Table) -> KeyRange {
    prefix_range(&key(account, table, 0))
}

/// All rows of one table that belong to a mailbox.
pub(crate) fn mailbox_table(account: AccountId, table: Table, mailbox: MailboxId) -> KeyRange {
    let mut key = key(account, table, 4);
    key.extend_from_slice(&mailbox.0.to_be_bytes());
    prefix_range(&key)
}

/// All rows of an account.
pub(crate) fn account(account: AccountId) -> KeyRange {
    prefix_range(&account.0.to_be_bytes())
}

/// The number at the end of a key: an id, a modseq, a hash.
pub(crate) fn last_u64(key: &[u8]) -> Option<u64> {
    let (_, last) = key.split_last_chunk()?;
    Some(u64::from_be_bytes(*last))
}

/// The number at the end of the key of a mailbox's tail, or of an account's row in the directory.
pub(crate) fn last_u32(key: &[u8]) -> Option<u32> {
    let (_, last) = key.split_last_chunk()?;
    Some(u32::from_be_bytes(*last))
}

pub(crate) fn user(name: &str) -> Key {
    let mut key = key(SERVER, Table::User, name.len());
    key.extend_from_slice(name.as_bytes());
    key
}

pub(crate) fn user_of_account(account: AccountId) -> Key {
    let mut key = key(SERVER, Table::UserOfAccount, 4);
    key.extend_from_slice(&account.0.to_be_bytes());
    key
}

/// Keys of SCRAM; the kind is the number of the hash.
pub(crate) fn scram(account: AccountId, kind: u8) -> Key {
    let mut key = key(SERVER, Table::Scram, 5);
    key.extend_from_slice(&account.0.to_be_bytes());
    key.push(kind);
    key
}

/// What is kept of failed logins.
pub(crate) fn throttle(rest: &[u8]) -> Key {
    let mut key = key(SERVER, Table::Throttle, rest.len());
    key.extend_from_slice(rest);
    key
}

/// That an account grants rights to an identifier. These have no zero byte.
pub(crate) fn share(identifier: &str, account: AccountId) -> Key {
    let mut key = key(SERVER, Table::Share, identifier.len() + 5);
    key.extend_from_slice(identifier.as_bytes());
    key.push(0);
    key.extend_from_slice(&account.0.to_be_bytes());
    key
}

/// All accounts that grant rights to an identifier.
pub(crate) fn shares(identifier: &str) -> KeyRange {
    let mut key = key(SERVER, Table::Share, identifier.len() + 1);
    key.extend_from_slice(identifier.as_bytes());
    key.push(0);
    prefix_range(&key)
}

/// An app password of an account.
pub(crate) fn app_password(account: AccountId, id: u64) -> Key {
    in_account(account, Table::AppPassword, id)
}

/// A login of an account.
pub(crate) fn login(account: AccountId, id: u64) -> Key {
    in_account(account, Table::Login, id)
}

/// What is hidden from the user of an account.
pub(crate) fn hidden_words(account: AccountId) -> Key {
    key(account, Table::HiddenWords, 0)
}

pub(crate) fn removed(account: AccountId) -> Key {
    let mut key = key(SERVER, Table::Removed, 4);
    key.extend_from_slice(&account.0.to_be_bytes());
    key
}

pub(crate) fn counter(name: &str) -> Key {
    let mut key = key(SERVER, Table::Counter, name.len());
    key.extend_from_slice(name.as_bytes());
    key
}

/// The key with which a user authorizes URLs to a mailbox.
pub(crate) fn url_key(user: AccountId, (account, mailbox): (AccountId, MailboxId)) -> Key {
    let mut key = key(user, Table::UrlKey, 8);
    key.extend_from_slice(&account.0.to_be_bytes());
    key.extend_from_slice(&mailbox.0.to_be_bytes());
    key
}

pub(crate) fn account_tail(account: AccountId) -> Key {
    key(account, Table::AccountTail, 0)
}

pub(crate) fn account_log(account: AccountId, modseq: ModSeq) -> Key {
    in_account(account, Table::AccountLog, modseq.0)
}

pub(crate) fn account_root(account: AccountId, modseq: ModSeq) -> Key {
    in_account(account, Table::AccountRoot, modseq.0)
}

pub(crate) fn tail(account: AccountId, mailbox: MailboxId) -> Key {
    let mut key = key(account, Table::MailboxTail, 4);
    key.extend_from_slice(&mailbox.0.to_be_bytes());
    key
}

pub(crate) fn log(account: AccountId, mailbox: MailboxId, modseq: ModSeq) -> Key {
    in_mailbox(account, Table::MailboxLog, mailbox, modseq.0)
}

pub(crate) fn root(account: AccountId, mailbox: MailboxId, modseq: ModSeq) -> Key {
    in_mailbox(account, Table::MailboxRoot, mailbox, modseq.0)
}

pub(crate) fn part(account: AccountId, mailbox: MailboxId, part: PartKey) -> Key {
    let mut key = key(account, Table::MailboxPart, 4 + 21);
    key.extend_from_slice(&mailbox.0.to_be_bytes());
    key.extend_from_slice(&part.to_bytes());
    key
}

/// What a user has seen of another's mailbox.
pub(crate) fn seen(account: AccountId, mailbox: MailboxId, user: AccountId) -> Key {
    let mut key = key(account, Table::MailboxSeen, 8);
    key.extend_from_slice(&mailbox.0.to_be_bytes());
    key.extend_from_slice(&user.0.to_be_bytes());
    key
}

/// The key of an email's row, which owns the message's blob.
pub(crate) fn email(account: AccountId, email: EmailId) -> Key {
    in_account(account, Table::Email, email.0)
}

pub(crate) fn thread(account: AccountId, hash: u64) -> Key {
    in_account(account, Table::Thread, hash)
}

pub(crate) fn mark(account: AccountId, email: EmailId) -> Key {
    in_account(account, Table::Mark, email.0)
}

pub(crate) fn tombstone(account: AccountId, email: EmailId) -> Key {
    in_account(account, Table::Tombstone, email.0)
}

#[cfg(test)]
mod tests {
    use std::ops::Bound;

    use super::*;

    #[test]
    fn an_account_is_contiguous() {
        let (one, two) = (AccountId(1), AccountId(2));
        let last = tombstone(one, EmailId(u64::MAX));
        assert!(last < account_tail(two));
        let (Bound::Included(start), Bound::Excluded(end)) = account(one) else {
            panic!("bounds of an account");
        };
        assert!(start <= account_tail(one) && last < end && end <= account_tail(two));
    }

    #[test]
    fn tails_lie_side_by_side() {
        let account = AccountId(7);
        let (a, b) = (tail(account, MailboxId(1)), tail(account, MailboxId(2)));
        assert!(a < b);
        assert!(log(account, MailboxId(1), ModSeq(1)) > b);
        assert_eq!(last_u32(&b), Some(2));
        assert_eq!(last_u64(&log(account, MailboxId(1), ModSeq(9))), Some(9));
    }
}
