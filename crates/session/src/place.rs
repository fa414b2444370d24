//! Whose mailbox a name is: the user's own, another user's, or a shared one (RFC 2342), and what this user
//! may do with it (RFC 4314).
//!
//! Everything that takes a mailbox by name comes through here. An owner has all rights; others have what
//! the mailbox grants. What somebody may not see does not exist for them.

use std::collections::BTreeMap;
use std::sync::Arc;

use restante_mailbox::{
    Account, AccountId, Entry, Mail, MailError, Mailbox, MailboxName, Rights, Tree, User,
    UserMailbox, Who, canonical_user_name,
};
use restante_proto::types::Code;

use crate::env::Env;
use crate::reply::{Failure, Reply};
use crate::state::{Login, State};

/// Which mailboxes of others can be seen, and under which names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sharing {
    /// Before the names of other users' mailboxes, without a separator; `None`: they cannot be seen.
    pub other_users: Option<String>,
    /// The same of the mailboxes that belong to nobody in particular, and the user whose they are.
    pub shared: Option<(String, String)>,
    /// The members of groups: an identifier for rights, with `$` before it.
    pub groups: BTreeMap<String, Vec<String>>,
    /// Whose `\Seen` is.
    pub seen: SeenOf,
}

/// Whose `\Seen` is in mailboxes that others share with a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeenOf {
    /// The user's own: what others have read is nothing to them.
    User,
    /// The mailbox's, as all other flags are.
    Mailbox,
}

impl Default for Sharing {
    fn default() -> Sharing {
        Sharing {
            other_users: Some("Other Users".to_owned()),
            shared: None,
            groups: BTreeMap::new(),
            seen: SeenOf::User,
        }
    }
}

impl Sharing {
    /// Whether anybody can see anything of others.
    pub(crate) fn is_on(&self) -> bool {
        self.other_users.is_some() || self.shared.is_some()
    }

    /// What the names of others' mailboxes begin with.
    pub(crate) fn namespaces(&self) -> impl Iterator<Item = String> {
        let shared = self.shared.iter().map(|(prefix, _)| prefix);
        let prefixes = self.other_users.iter().chain(shared);
        prefixes.map(|prefix| format!("{prefix}{}", MailboxName::SEPARATOR))
    }

    /// Whether what this user (canonical) has is in the shared namespace.
    fn is_shared_user(&self, name: &str) -> bool {
        let shared = self.shared.as_ref();
        shared.is_some_and(|(_, user)| canonical_user_name(user) == name)
    }

    /// A mailbox as this user sees it.
    pub(crate) fn open_for(&self, login: &Login, mailbox: Arc<Mailbox>) -> UserMailbox {
        match self.seen {
            SeenOf::User => UserMailbox::for_reader(mailbox, login.account.id()),
            SeenOf::Mailbox => UserMailbox::new(mailbox),
        }
    }

    /// A user as access rights see them.
    pub(crate) fn who(&self, user: &str) -> Who {
        let is_user = |member: &String| canonical_user_name(member) == user;
        let groups = self.groups.iter();
        let groups = groups.filter(|(_, members)| members.iter().any(is_user));
        Who::new(user, groups.map(|(group, _)| group.as_str()))
    }
}

/// A name, resolved; whether there is such a mailbox is not known yet.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// Whose mailboxes it is among.
    pub(crate) account: Arc<Account>,
    /// Its name there.
    pub(crate) name: MailboxName,
    /// The owner's name.
    pub(crate) owner: Arc<str>,
    /// Who asks, unless it is the owner.
    who: Option<Who>,
    /// If they have a `\Seen` of their own.
    reader: Option<AccountId>,
}

/// What is below a prefix of other accounts' names.
fn below<'a>(name: &'a MailboxName, prefix: &str) -> Option<&'a str> {
    let rest = name.as_str().strip_prefix(prefix)?;
    rest.strip_prefix(MailboxName::SEPARATOR)
}

/// Whether this is the name of a namespace, or in one.
fn is_in(name: &MailboxName, prefix: &str) -> bool {
    name.as_str() == prefix || below(name, prefix).is_some()
}

impl Place {
    /// The place of a name.
    pub(crate) async fn of(env: &Env, login: &Login, name: &MailboxName) -> Result<Place, Failure> {
        let sharing = &env.sharing;
        let nobody = || Failure::Mail(MailError::NoSuchMailbox);
        let (owner, inner) = match (&sharing.other_users, &sharing.shared) {
            (Some(prefix), _) if is_in(name, prefix) => {
                let rest = below(name, prefix).ok_or_else(nobody)?;
                let (owner, inner) = rest.split_once(MailboxName::SEPARATOR).ok_or_else(nobody)?;
                if sharing.is_shared_user(&canonical_user_name(owner)) {
                    // Those have another name.
                    return Err(nobody());
                }
                (owner, inner)
            }
            (_, Some((prefix, user))) if is_in(name, prefix) => {
                (user.as_str(), below(name, prefix).ok_or_else(nobody)?)
            }
            _ => {
                return Ok(Place {
                    account: login.account.clone(),
                    name: name.clone(),
                    owner: login.name.clone(),
                    who: None,
                    reader: None,
                });
            }
        };
        let inner = MailboxName::new(inner).map_err(|_| nobody())?;
        let mail = &env.mail;
        let owner = mail.user(owner).await?.ok_or_else(nobody)?;
        let is_shared = mail.sharing_with(&login.who).await?;
        if owner.account == login.account.id() || !is_shared.contains(&owner.account) {
            return Err(nobody());
        }
        Ok(Place {
            account: mail.account(owner.account).await?,
            name: inner,
            owner: owner.name.into(),
            who: Some(login.who.clone()),
            reader: (sharing.seen == SeenOf::User).then_some(login.account.id()),
        })
    }

    /// Whether it is among the user's own mailboxes.
    pub(crate) fn is_own(&self) -> bool {
        self.who.is_none()
    }

    /// What this user may do with a mailbox of the tree.
    pub(crate) fn rights(&self, tree: &Tree, entry: &Entry) -> Rights {
        match &self.who {
            None => Rights::ALL,
            Some(who) => tree.rights(entry.id, who),
        }
    }

    /// What this user may do with the nearest mailbox above it that exists: they may create mailboxes
    /// there, or not (RFC 4314 §4). Where there is none, only an owner may.
    pub(crate) fn rights_above(&self, tree: &Tree) -> Rights {
        if self.is_own() {
            return Rights::ALL;
        }
        let mut at = self.name.parent();
        while let Some(parent) = at {
            if let Some(entry) = tree.get(&parent) {
                return self.rights(tree, entry);
            }
            at = parent.parent();
        }
        Rights::NONE
    }

    /// Whether this user can see a mailbox below it.
    pub(crate) fn has_visible_children(&self, tree: &Tree) -> bool {
        let mut children = tree.children(&self.name);
        children.any(|(_, entry)| self.rights(tree, entry).contains(Rights::LOOKUP))
    }

    /// The tree and the mailbox in it, of which at least one of these rights is needed; and the rights
    /// that there are.
    pub(crate) async fn entry(
        &self,
        any_of: Rights,
    ) -> Result<(Arc<Tree>, Entry, Rights), Failure> {
        let tree = self.account.tree().await?;
        let entry = tree.get(&self.name).ok_or(MailError::NoSuchMailbox)?;
        let entry = entry.clone();
        let rights = self.rights(&tree, &entry);
        match rights.intersects(any_of) {
            true => Ok((tree, entry, rights)),
            // Nobody is told of what they may not see.
            false if !rights.intersects(Rights::LOOKUP) => Err(MailError::NoSuchMailbox.into()),
            false => Err(no_permission()),
        }
    }

    /// The mailbox, of which this right is needed; and the rights that there are.
    pub(crate) async fn mailbox(&self, needed: Rights) -> Result<(UserMailbox, Rights), Failure> {
        let (_, entry, rights) = self.entry(needed).await?;
        let mailbox = self.account.open(entry.id).await?;
        let mailbox = match self.reader {
            Some(user) => UserMailbox::for_reader(mailbox, user),
            None => UserMailbox::new(mailbox),
        };
        Ok((mailbox, rights))
    }
}

/// RFC 5530 §3.
pub(crate) fn no_permission() -> Failure {
    Reply::no("You have not the right to do this")
        .code(Code::NoPerm)
        .into()
}

/// Looks whether the rights to the selected mailbox are still what they were. One that may not be read
/// any more is closed: nothing more of it is to be told.
pub(crate) async fn look_again(env: &Env, state: &mut State) -> Result<(), Failure> {
    let State::Selected(login, selected) = state else {
        return Ok(());
    };
    let account = selected.mailbox.account();
    if account.id() == login.account.id() {
        return Ok(());
    }
    let tree = account.tree().await?;
    // One that was deleted is the sync point's business.
    if tree.by_id(selected.mailbox.id()).is_none() {
        return Ok(());
    }
    selected.rights = tree.rights(selected.mailbox.id(), &login.who);
    let owner = owner(&env.mail, account.id()).await?;
    match selected.rights.contains(Rights::READ) && owner.is_some() {
        true => Ok(()),
        false => {
            let bye = Reply::bye("You may not read this mailbox any more");
            Err(Failure::Bye(bye.code(Code::NoPerm)))
        }
    }
}

/// An account whose mailboxes this user can see, and what comes before their names.
#[derive(Debug)]
pub(crate) struct Foreign {
    pub(crate) account: Arc<Account>,
    pub(crate) tree: Arc<Tree>,
    prefix: String,
}

impl Foreign {
    /// What comes before their names, with a separator at the end.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The mailboxes that are visible, with their names for this user.
    pub(crate) fn visible<'a>(
        &'a self,
        who: &'a Who,
    ) -> impl Iterator<Item = (MailboxName, &'a Entry, Rights)> {
        let all = self.all(who);
        all.filter(|(_, _, rights)| rights.contains(Rights::LOOKUP))
    }

    /// All mailboxes, also those that the user has no right to know of.
    pub(crate) fn all<'a>(
        &'a self,
        who: &'a Who,
    ) -> impl Iterator<Item = (MailboxName, &'a Entry, Rights)> {
        self.tree.mailboxes.iter().filter_map(|(name, entry)| {
            let rights = self.tree.rights(entry.id, who);
            // A name that is too long with the prefix cannot be asked for either.
            let name = MailboxName::new(&format!("{}{name}", self.prefix)).ok()?;
            Some((name, entry, rights))
        })
    }
}

/// The accounts that this user can see something of, below names for which `may_match` holds.
pub(crate) async fn foreign(
    env: &Env,
    login: &Login,
    may_match: impl Fn(&str) -> bool,
) -> Result<Vec<Foreign>, Failure> {
    let Sharing {
        other_users,
        shared,
        ..
    } = &env.sharing;
    let users = other_users.as_deref().filter(|prefix| may_match(prefix));
    let shared_matches = shared.as_ref().is_some_and(|(prefix, _)| may_match(prefix));
    let mut found = Vec::new();
    if users.is_none() && !shared_matches {
        return Ok(found);
    }
    let mail = &env.mail;
    for id in mail.sharing_with(&login.who).await? {
        if id == login.account.id() {
            continue;
        }
        let Some(owner) = owner(mail, id).await? else {
            continue;
        };
        // What is shared has one name, the shorter one.
        let prefix = match shared {
            Some((prefix, _)) if env.sharing.is_shared_user(&owner.name) => Some(prefix)
                .filter(|_| shared_matches)
                .map(|p| format!("{p}/")),
            _ => users.map(|prefix| format!("{prefix}/{}/", owner.name)),
        };
        if let Some(prefix) = prefix {
            let account = mail.account(id).await?;
            let tree = account.tree().await?;
            found.push(Foreign {
                account,
                tree,
                prefix,
            });
        }
    }
    Ok(found)
}

/// Who is gone meanwhile has nothing to show.
async fn owner(mail: &Mail, account: AccountId) -> Result<Option<User>, Failure> {
    Ok(mail.user_of_account(account).await?)
}
