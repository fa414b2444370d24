//! Access rights (RFC 4314): who besides its owner may do what with a mailbox.
//!
//! The rights lie in the owner's account log with the tree. Beside it, in the same batch, a row for each
//! identifier says that this account grants it something, so that whoever lists mailboxes finds what is
//! shared without looking into every account.

use std::{collections::BTreeMap, fmt, ops, sync::Arc};

use restante_store::{Batch, Direction, Store};
use tokio::sync::watch;

use crate::{
    account::Account,
    directory::canonical_user_name,
    error::{Limit, MailError, Result},
    flags::Flags,
    keys,
    mail::Mail,
    name::MailboxName,
    tree::{Tree, TreeEffect},
    types::{AccountId, MailboxId},
};

/// A set of rights (RFC 4314 §2.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rights(u16);

impl Rights {
    /// None.
    pub const NONE: Self = Self(0);
    /// `l`: the mailbox is visible to LIST.
    pub const LOOKUP: Self = Self(1);
    /// `r`: SELECT, FETCH, SEARCH, COPY from it.
    pub const READ: Self = Self(1 << 1);
    /// `s`: set and clear `\Seen`.
    pub const SEEN: Self = Self(1 << 2);
    /// `w`: set and clear flags other than `\Seen` and `\Deleted`.
    pub const WRITE: Self = Self(1 << 3);
    /// `i`: APPEND, COPY into it.
    pub const INSERT: Self = Self(1 << 4);
    /// `p`: send mail to its address; nothing here asks for it.
    pub const POST: Self = Self(1 << 5);
    /// `k`: create mailboxes below it.
    pub const CREATE: Self = Self(1 << 6);
    /// `x`: delete or rename it.
    pub const DELETE: Self = Self(1 << 7);
    /// `t`: set and clear `\Deleted`.
    pub const DELETE_MESSAGES: Self = Self(1 << 8);
    /// `e`: EXPUNGE.
    pub const EXPUNGE: Self = Self(1 << 9);
    /// `a`: change the rights.
    pub const ADMINISTER: Self = Self(1 << 10);
    /// All of them: what an owner has.
    pub const ALL: Self = Self((1 << 11) - 1);

    const LETTERS: [(Self, char); 11] = [
        (Self::LOOKUP, 'l'),
        (Self::READ, 'r'),
        (Self::SEEN, 's'),
        (Self::WRITE, 'w'),
        (Self::INSERT, 'i'),
        (Self::POST, 'p'),
        (Self::CREATE, 'k'),
        (Self::DELETE, 'x'),
        (Self::DELETE_MESSAGES, 't'),
        (Self::EXPUNGE, 'e'),
        (Self::ADMINISTER, 'a'),
    ];

    /// The right of a letter; `c` and `d`, of before RFC 4314, are several (§2.1.1).
    pub fn from_letter(letter: char) -> Option<Self> {
        match letter {
            'c' => Some(Self::CREATE | Self::DELETE),
            'd' => Some(Self::DELETE_MESSAGES | Self::EXPUNGE),
            letter => {
                let found = Self::LETTERS.iter().find(|(_, known)| *known == letter);
                found.map(|(right, _)| *right)
            }
        }
    }

    /// The letters, as clients are told: with `c` and `d` for those of before RFC 4314 (§2.1.1).
    pub fn letters(self) -> String {
        let mut letters: String = self.plain_letters().collect();
        if self.intersects(Self::CREATE | Self::DELETE) {
            letters.push('c');
        }
        if self.intersects(Self::DELETE_MESSAGES | Self::EXPUNGE) {
            letters.push('d');
        }
        letters
    }

    fn plain_letters(self) -> impl Iterator<Item = char> {
        let letters = Self::LETTERS.into_iter();
        letters.filter_map(move |(right, letter)| self.contains(right).then_some(letter))
    }

    /// Whether all of `other` are in it.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any of `other` is in it.
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether there are none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Without `other`.
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The flags that may be set and cleared (RFC 4314 §4).
    pub fn flags(self) -> Flags {
        let of = |right, flags| match self.contains(right) {
            true => flags,
            false => Flags::NONE,
        };
        let others = Flags::ALL.without(Flags::SEEN | Flags::DELETED);
        of(Self::SEEN, Flags::SEEN)
            | of(Self::DELETE_MESSAGES, Flags::DELETED)
            | of(Self::WRITE, others)
    }

    pub(crate) fn bits(self) -> u64 {
        self.0.into()
    }

    /// Bits that no right has are of a newer version: they grant nothing here.
    pub(crate) fn from_bits(bits: u64) -> Self {
        Self((bits & Self::ALL.bits()) as u16)
    }
}

impl ops::BitOr for Rights {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.plain_letters()
            .try_for_each(|letter| write!(f, "{letter}"))
    }
}

/// The rights that a mailbox grants, by identifier: a user's name, `$` and a group, `anyone`; with `-`
/// before it they are taken away (RFC 4314 §2).
pub type Acl = BTreeMap<Arc<str>, Rights>;

/// Somebody, as access rights see them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    identifiers: Arc<[Arc<str>]>,
}

impl Who {
    /// A user by canonical name, and the groups (without `$`) that the user is in. Who is called as a group or
    /// a denial is written has no rights by that name.
    pub fn new<'a>(user: &str, groups: impl IntoIterator<Item = &'a str>) -> Self {
        let groups = groups.into_iter().map(|group| format!("${group}").into());
        let user = Some(user).filter(|user| is_of_a_user(user)).map(Arc::from);
        let identifiers = user.into_iter().chain([ANYONE.into()]).chain(groups);
        Self {
            identifiers: identifiers.collect(),
        }
    }

    /// What they have of these rights: what any identifier of theirs is granted, without what any is
    /// denied.
    pub fn rights(&self, acl: &Acl) -> Rights {
        let granted = |identifier: &str| acl.get(identifier).copied().unwrap_or_default();
        let mut rights = Rights::NONE;
        let mut denied = Rights::NONE;
        for identifier in &*self.identifiers {
            rights = rights | granted(identifier);
            denied = denied | granted(&format!("-{identifier}"));
        }
        rights.without(denied)
    }
}

/// Whether an identifier can stand for one user: others are reserved (RFC 4314 §2).
fn is_of_a_user(identifier: &str) -> bool {
    identifier != ANYONE && !identifier.starts_with(['$', '-'])
}

/// Everybody who has logged in.
const ANYONE: &str = "anyone";
/// The longest identifier, in bytes.
const IDENTIFIER_BYTES_MAX: usize = 256;
/// The most identifiers of one mailbox, and of one account: they are in memory with the tree.
const ENTRIES_MAX: usize = 1000;
const ACCOUNT_ENTRIES_MAX: usize = 20_000;
/// The most accounts that are looked into for what they share.
const SHARING_MAX: usize = 10_000;

/// The form in which an identifier is kept. None if it is none.
pub fn canonical_identifier(identifier: &str) -> Option<String> {
    let (sign, name) = match identifier.strip_prefix('-') {
        Some(name) => ("-", name),
        None => ("", identifier),
    };
    let canonical = canonical_user_name(name);
    let is_plain = |c: char| !c.is_control() && !c.is_whitespace();
    let fits = (1..IDENTIFIER_BYTES_MAX).contains(&canonical.len()) && canonical != "$";
    (fits && canonical.chars().all(is_plain)).then(|| format!("{sign}{canonical}"))
}

/// How SETACL changes rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RightsChange {
    /// These more.
    Add(Rights),
    /// Without these.
    Remove(Rights),
    /// Just these; with none the identifier is gone.
    Replace(Rights),
}

impl Tree {
    /// The rights that a mailbox grants.
    pub fn acl(&self, id: MailboxId) -> Option<&Acl> {
        self.acls.get(&id)
    }

    /// What somebody may do with a mailbox of another's.
    pub fn rights(&self, id: MailboxId, who: &Who) -> Rights {
        self.acl(id).map_or(Rights::NONE, |acl| who.rights(acl))
    }

    /// The effects that give a new mailbox what its nearest parent grants (RFC 4314 §4).
    pub(crate) fn inherited(&self, name: &MailboxName, id: MailboxId) -> Vec<TreeEffect> {
        let mut at = name.parent();
        while let Some(parent) = at {
            if let Some(entry) = self.get(&parent) {
                let acl = self.acl(entry.id).into_iter().flatten();
                let effect = |(identifier, rights): (&Arc<str>, &Rights)| TreeEffect::Acl {
                    mailbox: id,
                    identifier: identifier.clone(),
                    rights: rights.bits(),
                };
                return acl.map(effect).collect();
            }
            at = parent.parent();
        }
        Vec::new()
    }

    /// The identifiers that are granted something by a mailbox of this tree.
    fn granted(&self) -> impl Iterator<Item = &Arc<str>> {
        let identifiers = self.acls.values().flat_map(BTreeMap::keys);
        identifiers.filter(|identifier| !identifier.starts_with('-'))
    }

    /// What is wrong with the index of shared accounts, as far as it is about this one.
    pub(crate) async fn check_shares(
        &self,
        store: &Store,
        account: AccountId,
    ) -> Result<Vec<String>> {
        let mut problems = Vec::new();
        for identifier in self.granted() {
            if store
                .get(&keys::share(identifier, account))
                .await?
                .is_none()
            {
                problems.push(format!(
                    "what {identifier} is granted is missing in the index"
                ));
            }
        }
        Ok(problems)
    }

    /// Puts into a batch what the index of shared accounts must say after this tree has become `next`. Whether
    /// somebody has come who is granted something.
    pub(crate) fn index_shares(&self, next: &Tree, account: AccountId, batch: &mut Batch) -> bool {
        if self.acls == next.acls {
            return false;
        }
        for gone in self
            .granted()
            .filter(|id| next.granted().all(|new| new != *id))
        {
            batch.delete.push(keys::share(gone, account));
        }
        let mut news = false;
        for new in next.granted() {
            news |= self.granted().all(|old| old != new);
            batch.put(keys::share(new, account), Vec::new());
        }
        news
    }
}

impl Account {
    /// Changes what an identifier may do with a mailbox (RFC 4314 §3.1, §3.2).
    ///
    /// # Errors
    /// [`MailError::NoSuchMailbox`], [`MailError::Limit`].
    pub async fn set_acl(
        self: &Arc<Self>,
        id: MailboxId,
        identifier: &str,
        change: RightsChange,
    ) -> Result<()> {
        let identifier: Arc<str> = identifier.into();
        self.change_tree(move |tree, tree_change| {
            if tree.by_id(id).is_none() {
                return Err(MailError::NoSuchMailbox);
            }
            let acl = tree.acl(id);
            let before = acl.and_then(|acl| acl.get(&identifier)).copied();
            let had = before.unwrap_or_default();
            let rights = match change {
                RightsChange::Add(rights) => had | rights,
                RightsChange::Remove(rights) => had.without(rights),
                RightsChange::Replace(rights) => rights,
            };
            if rights == had {
                return Ok(());
            }
            let is_new = before.is_none();
            let sum: usize = tree.acls.values().map(BTreeMap::len).sum();
            if is_new
                && (acl.is_some_and(|acl| acl.len() >= ENTRIES_MAX) || sum >= ACCOUNT_ENTRIES_MAX)
            {
                return Err(MailError::Limit(Limit::Acl));
            }
            tree_change.effects.push(TreeEffect::Acl {
                mailbox: id,
                identifier: identifier.clone(),
                rights: rights.bits(),
            });
            Ok(())
        })
        .await
    }

    /// Takes an identifier out of all rights of the account.
    async fn forget(self: &Arc<Self>, identifier: &str) -> Result<()> {
        let names: [Arc<str>; 2] = [identifier.into(), format!("-{identifier}").into()];
        self.change_tree(move |tree, change| {
            for (id, acl) in &tree.acls {
                let named = names.iter().filter(|name| acl.contains_key(*name));
                change.effects.extend(named.map(|name| TreeEffect::Acl {
                    mailbox: *id,
                    identifier: name.clone(),
                    rights: 0,
                }));
            }
            Ok(())
        })
        .await
    }
}

impl Mail {
    /// The accounts that grant something to one of somebody's identifiers, in the order of their numbers.
    ///
    /// # Errors
    /// [`MailError::Unavailable`].
    pub async fn sharing_with(&self, who: &Who) -> Result<Vec<AccountId>> {
        let mut accounts = Vec::new();
        for identifier in &*who.identifiers {
            accounts.extend(self.granted_by(identifier).await?);
        }
        accounts.sort_unstable();
        accounts.dedup();
        Ok(accounts)
    }

    /// Wakes whenever an account begins to grant something to somebody.
    pub fn watch_sharing(&self) -> watch::Receiver<()> {
        self.core.sharing.subscribe()
    }

    async fn granted_by(&self, identifier: &str) -> Result<Vec<AccountId>> {
        let range = keys::shares(identifier);
        let store = &self.core.store;
        let rows = store.scan(range, Direction::Ascending, SHARING_MAX).await?;
        let accounts = rows.iter().filter_map(|(key, _)| keys::last_u32(key));
        Ok(accounts.map(AccountId).collect())
    }

    /// Takes a user who is gone out of all rights, so that nobody inherits them with the name.
    ///
    /// # Errors
    /// [`MailError::Unavailable`] and the like.
    pub(crate) async fn forget_identifier(&self, name: &str) -> Result<()> {
        if !is_of_a_user(name) {
            return Ok(());
        }
        for account in self.granted_by(name).await? {
            match self.account(account).await {
                Ok(account) => account.forget(name).await?,
                Err(MailError::NoSuchUser) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
