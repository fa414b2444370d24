//! Quotas (RFC 9208).

use restante_proto::types::{
    CommandBody, MailboxName, QuotaLimit, QuotaResource, SetQuota, UntaggedData,
};

use crate::client::Client;
use crate::error::Result;

/// A quota root, and usage and limits of what it limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuotaRoot {
    /// Its name.
    pub name: Vec<u8>,
    /// Usage and limit of each resource.
    pub limits: Vec<QuotaLimit>,
}

impl Client {
    /// GETQUOTA (RFC 9208 §4.1.1): usage and limits of a quota root.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn quota(&mut self, root: &[u8]) -> Result<Vec<QuotaLimit>> {
        let body = CommandBody::GetQuota(root.to_vec());
        let mut roots = self.quotas(body, |_| {}).await?;
        Ok(roots.pop().map(|root| root.limits).unwrap_or_default())
    }

    /// GETQUOTAROOT (RFC 9208 §4.1.2): the quota roots of a mailbox, which need not exist, with usage and
    /// limits; none if nothing is limited.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn quota_roots(&mut self, mailbox: &str) -> Result<Vec<QuotaRoot>> {
        let body = CommandBody::GetQuotaRoot(MailboxName::new(mailbox));
        let mut names = Vec::new();
        let mut told = self.quotas(body, |roots| names = roots).await?;
        let roots = names.into_iter().map(|name| {
            let at = told.iter().position(|root| root.name == name);
            let limits = at.map_or(Vec::new(), |at| told.swap_remove(at).limits);
            QuotaRoot { name, limits }
        });
        Ok(roots.collect())
    }

    /// SETQUOTA (RFC 9208 §4.1.3, QUOTASET): limits not named are taken away. Gives what the server made of
    /// it, if it says.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn set_quota(
        &mut self,
        root: &[u8],
        limits: Vec<(QuotaResource, u64)>,
    ) -> Result<Vec<QuotaRoot>> {
        let root = root.to_vec();
        let body = CommandBody::SetQuota(SetQuota { root, limits });
        self.quotas(body, |_| {}).await
    }

    async fn quotas(
        &mut self,
        body: CommandBody,
        mut of_mailbox: impl FnMut(Vec<Vec<u8>>),
    ) -> Result<Vec<QuotaRoot>> {
        let reply = self.run(body).await?;
        let told = self.own(reply.untagged, |data| match data {
            UntaggedData::Quota { root, limits } => Ok(Some(QuotaRoot { name: root, limits })),
            UntaggedData::QuotaRoot { roots, .. } => {
                of_mailbox(roots);
                Ok(None)
            }
            other => Err(other),
        });
        Ok(told.into_iter().flatten().collect())
    }
}
