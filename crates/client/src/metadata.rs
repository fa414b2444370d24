//! Annotations (RFC 5464).

use restante_proto::types::{
    CommandBody, GetMetadata, MailboxName, MetadataDepth, MetadataEntry, UntaggedData,
};

use crate::client::Client;
use crate::error::Result;

impl Client {
    /// GETMETADATA (RFC 5464 §4.2): the values of entries such as `/private/comment`; the empty name of a
    /// mailbox is the server.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn metadata(
        &mut self,
        mailbox: &str,
        entries: &[&str],
        depth: MetadataDepth,
    ) -> Result<Vec<MetadataEntry>> {
        let body = CommandBody::GetMetadata(GetMetadata {
            mailbox: MailboxName::new(mailbox),
            max_size: None,
            depth,
            entries: entries
                .iter()
                .map(|entry| entry.as_bytes().to_vec())
                .collect(),
        });
        let reply = self.run(body).await?;
        let found = self.own(reply.untagged, |data| match data {
            UntaggedData::Metadata { entries, .. } => Ok(entries),
            other => Err(other),
        });
        Ok(found.concat())
    }

    /// SETMETADATA (RFC 5464 §4.3): all entries or none; no value takes one away.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn set_metadata(&mut self, mailbox: &str, entries: Vec<MetadataEntry>) -> Result<()> {
        let mailbox = MailboxName::new(mailbox);
        self.simple(CommandBody::SetMetadata { mailbox, entries })
            .await
    }
}
