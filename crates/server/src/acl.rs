//! Who may do what with a user's mailboxes: what `restante acl` asks a server for.

use restante_mailbox::{Mail, MailError, MailboxName, Rights, RightsChange, canonical_identifier};
use serde::{Deserialize, Serialize};

use crate::admin::Reply;
use crate::transfer::Answer;

/// What somebody may do with a mailbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AclLine {
    /// The mailbox.
    pub mailbox: String,
    /// A user, `$group` or `anyone`; with `-` before it, what is denied.
    pub identifier: String,
    /// The rights, as letters of RFC 4314.
    pub rights: String,
}

/// A change of rights.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AclChange {
    /// The mailbox.
    pub mailbox: String,
    /// Whose rights.
    pub identifier: String,
    /// Letters of RFC 4314, after `+` or `-` for those more or less; none takes the identifier out.
    pub rights: String,
}

impl AclChange {
    /// The identifier as it is kept.
    ///
    /// # Errors
    /// It is none.
    pub fn canonical(&self) -> Result<String, String> {
        let canonical = canonical_identifier(&self.identifier);
        canonical.ok_or_else(|| format!("{:?}: no name of a user or group", self.identifier))
    }

    /// Reads the rights.
    ///
    /// # Errors
    /// A sentence that names the letter which is none.
    pub fn parse(&self) -> Result<RightsChange, String> {
        let (change, letters): (fn(Rights) -> RightsChange, &str) =
            match (self.rights.strip_prefix('+'), self.rights.strip_prefix('-')) {
                (Some(more), _) => (RightsChange::Add, more),
                (_, Some(less)) => (RightsChange::Remove, less),
                _ => (RightsChange::Replace, &self.rights),
            };
        let mut rights = Rights::NONE;
        for letter in letters.chars() {
            let right = Rights::from_letter(letter);
            rights = rights | right.ok_or_else(|| format!("there is no right {letter:?}"))?;
        }
        Ok(change(rights))
    }
}

/// Changes rights, if asked to, and lists those that there are.
pub(crate) async fn acl(mail: &Mail, user: &str, change: Option<&AclChange>) -> Answer {
    let account = mail.account_of(user).await?;
    if let Some(change) = change {
        // The command line has checked both.
        let misuse = |_: String| MailError::NoSuchMailbox;
        let rights = change.parse().map_err(misuse)?;
        let identifier = change.canonical().map_err(misuse)?;
        let name = MailboxName::new(&change.mailbox)?;
        let tree = account.tree().await?;
        let entry = tree.get(&name).ok_or(MailError::NoSuchMailbox)?;
        account.set_acl(entry.id, &identifier, rights).await?;
    }
    let tree = account.tree().await?;
    let mut entries = Vec::new();
    for (name, entry) in &tree.mailboxes {
        for (identifier, rights) in tree.acl(entry.id).into_iter().flatten() {
            entries.push(AclLine {
                mailbox: name.as_str().to_owned(),
                identifier: identifier.to_string(),
                rights: rights.to_string(),
            });
        }
    }
    Ok(Reply::Acl { entries })
}
