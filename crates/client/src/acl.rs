//! Access rights (RFC 4314).

use restante_proto::types::{
    AclEntry, CommandBody, MailboxName, RightsChange, SetAcl, UntaggedData,
};

use crate::client::Client;
use crate::error::Result;

/// What LISTRIGHTS answers (RFC 4314 §3.7).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ListedRights {
    /// The rights that the identifier always has.
    pub required: String,
    /// Rights that it can be given; those of one element go together.
    pub optional: Vec<String>,
}

fn text(rights: Vec<u8>) -> String {
    String::from_utf8_lossy(&rights).into_owned()
}

impl Client {
    /// GETACL (RFC 4314 §3.3): who has which rights to a mailbox.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn acl(&mut self, mailbox: &str) -> Result<Vec<AclEntry>> {
        let reply = self
            .run(CommandBody::GetAcl(MailboxName::new(mailbox)))
            .await?;
        let found = self.own(reply.untagged, |data| match data {
            UntaggedData::Acl { entries, .. } => Ok(entries),
            other => Err(other),
        });
        Ok(found.concat())
    }

    /// SETACL (RFC 4314 §3.1): changes what a user, `$group` or `anyone` may do.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn set_acl(
        &mut self,
        mailbox: &str,
        identifier: &str,
        change: RightsChange,
        rights: &str,
    ) -> Result<()> {
        self.simple(CommandBody::SetAcl(SetAcl {
            mailbox: MailboxName::new(mailbox),
            identifier: identifier.into(),
            change,
            rights: rights.into(),
        }))
        .await
    }

    /// DELETEACL (RFC 4314 §3.2): takes all rights of an identifier away.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn delete_acl(&mut self, mailbox: &str, identifier: &str) -> Result<()> {
        self.simple(CommandBody::DeleteAcl {
            mailbox: MailboxName::new(mailbox),
            identifier: identifier.into(),
        })
        .await
    }

    /// MYRIGHTS (RFC 4314 §3.5): what this user may do, as letters.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn my_rights(&mut self, mailbox: &str) -> Result<String> {
        let reply = self
            .run(CommandBody::MyRights(MailboxName::new(mailbox)))
            .await?;
        let mut found = self.own(reply.untagged, |data| match data {
            UntaggedData::MyRights { rights, .. } => Ok(text(rights)),
            other => Err(other),
        });
        Ok(found.pop().unwrap_or_default())
    }

    /// LISTRIGHTS (RFC 4314 §3.4): what an identifier can be given.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn list_rights(&mut self, mailbox: &str, identifier: &str) -> Result<ListedRights> {
        let body = CommandBody::ListRights {
            mailbox: MailboxName::new(mailbox),
            identifier: identifier.into(),
        };
        let reply = self.run(body).await?;
        let mut found = self.own(reply.untagged, |data| match data {
            UntaggedData::ListRights {
                required, optional, ..
            } => Ok(ListedRights {
                required: text(required),
                optional: optional.into_iter().map(text).collect(),
            }),
            other => Err(other),
        });
        Ok(found.pop().unwrap_or_default())
    }
}
