//! APPEND and REPLACE, with messages streamed from any reader.

use restante_proto::client::{AppendEncoder, AppendMessage, Catenated};
use restante_proto::types::ReplaceTarget;
use restante_proto::types::{Code, DateTime, Flag, MailboxName, SetEnd, Uid, UidSet, UidValidity};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::client::{Client, Started, Untagged};
use crate::error::{Error, Result};

/// Where messages went (RFC 4315 §3): `None` from a server without UIDPLUS.
pub type AppendUid = Option<(UidValidity, UidSet)>;

/// One message of an APPEND that is to be sent from a reader.
#[derive(Debug)]
pub struct AppendFrom<R> {
    /// What is said of it. Its size must be exactly what the reader gives.
    pub message: AppendMessage,
    /// Its octets.
    pub data: R,
}

const CHUNK: usize = 64 << 10;

impl Client {
    /// APPEND of one message in memory.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn append(
        &mut self,
        mailbox: &str,
        flags: &[Flag],
        internal_date: Option<DateTime>,
        message: &[u8],
    ) -> Result<AppendUid> {
        let size = message.len() as u64;
        let flags = flags.to_vec();
        let head = AppendMessage {
            flags,
            internal_date,
            size,
            ..AppendMessage::default()
        };
        self.append_from(
            mailbox,
            [AppendFrom {
                message: head,
                data: message,
            }],
        )
        .await
    }

    /// APPEND of messages that are read while they are sent: one, or with MULTIAPPEND (RFC 3502)
    /// several.
    ///
    /// # Errors
    /// As [`run`](Self::run). If a reader fails or ends early the connection cannot be used any
    /// more, as the server waits for the rest.
    pub async fn append_from<R: AsyncRead + Unpin>(
        &mut self,
        mailbox: &str,
        messages: impl IntoIterator<Item = AppendFrom<R>>,
    ) -> Result<AppendUid> {
        let tag = self.new_tag()?;
        let mailbox = MailboxName::new(mailbox);
        let encoder = AppendEncoder::append(&tag, &mailbox, self.encoding())?;
        self.expect_reply(tag.clone(), "APPEND");
        self.send_messages(Started { tag }, encoder, messages).await
    }

    /// UID REPLACE (RFC 8508): puts a message in place of another, in any mailbox.
    ///
    /// # Errors
    /// As [`append_from`](Self::append_from).
    pub async fn uid_replace<R: AsyncRead + Unpin>(
        &mut self,
        uid: Uid,
        mailbox: &str,
        message: AppendFrom<R>,
    ) -> Result<AppendUid> {
        let tag = self.new_tag()?;
        let mailbox = MailboxName::new(mailbox);
        let target = ReplaceTarget::Uid(SetEnd::Number(uid));
        let encoder = AppendEncoder::replace(&tag, target, &mailbox, self.encoding())?;
        self.expect_reply(tag.clone(), "UID REPLACE");
        self.send_messages(Started { tag }, encoder, [message])
            .await
    }

    /// APPEND of a message that the server puts together of parts of others and of texts (CATENATE, RFC 4469).
    ///
    /// ```no_run
    /// # use restante_client::{Catenated, Client, types::*};
    /// # async fn example(client: &mut Client) -> Result<(), restante_client::Error> {
    /// // A draft with another text; what is attached to it does not travel again.
    /// let parts = [
    ///     Catenated::Url("/Drafts/;UID=20/;SECTION=HEADER"),
    ///     Catenated::Text(b"--x\r\n\r\nThe new text\r\n--x\r\n"),
    ///     Catenated::Url("/Drafts/;UID=20/;SECTION=2.MIME"),
    ///     Catenated::Url("/Drafts/;UID=20/;SECTION=2"),
    ///     Catenated::Text(b"\r\n--x--\r\n"),
    /// ];
    /// client.append_catenate("Drafts", &[Flag::Draft], None, &parts).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`run`](Self::run): NO with BADURL if a URL stands for nothing.
    pub async fn append_catenate(
        &mut self,
        mailbox: &str,
        flags: &[Flag],
        internal_date: Option<DateTime>,
        parts: &[Catenated<'_>],
    ) -> Result<AppendUid> {
        let tag = self.new_tag()?;
        let mailbox = MailboxName::new(mailbox);
        let mut encoder = AppendEncoder::append(&tag, &mailbox, self.encoding())?;
        let command = encoder.catenate(flags, internal_date, parts)?;
        self.expect_reply(tag.clone(), "APPEND");
        self.broken = true;
        if let Err(error) = self.send(&tag, &command).await {
            self.broken = !error.is_refusal();
            return Err(error);
        }
        self.end_append(Started { tag }, encoder).await
    }

    async fn send_messages<R: AsyncRead + Unpin>(
        &mut self,
        started: Started,
        mut encoder: AppendEncoder,
        messages: impl IntoIterator<Item = AppendFrom<R>>,
    ) -> Result<AppendUid> {
        // Until the end of the command is sent, nothing else can be.
        self.broken = true;
        let mut any = false;
        for mut one in messages {
            any = true;
            let head = encoder.message(&one.message);
            if let Err(error) = self.send(&started.tag, &head).await {
                // A synchronizing literal that was refused ends the command (RFC 9051 §4.3).
                self.broken = !error.is_refusal();
                return Err(error);
            }
            self.send_body(&mut one.data, one.message.size).await?;
        }
        if !any {
            self.broken = false;
            self.abandon(&started.tag);
            return Err(Error::Misuse("APPEND without a message"));
        }
        self.end_append(started, encoder).await
    }

    async fn end_append(&mut self, started: Started, encoder: AppendEncoder) -> Result<AppendUid> {
        self.connection.queue(encoder.finish());
        self.broken = false;
        let reply = self.finish(started).await?;
        let mut append_uid = reply.status.code.and_then(uid_code);
        for untagged in reply.untagged {
            match untagged {
                // REPLACE tells it before the expunge (RFC 8508 §3.3).
                Untagged::Status(status) if matches!(status.code, Some(Code::AppendUid { .. })) => {
                    append_uid = append_uid.or(status.code.and_then(uid_code));
                }
                other => self.deliver(other),
            }
        }
        Ok(append_uid)
    }

    async fn send_body(&mut self, data: &mut (impl AsyncRead + Unpin), size: u64) -> Result<()> {
        let mut left = size;
        let mut chunk = vec![0; CHUNK.min(usize::try_from(size).unwrap_or(CHUNK)).max(1)];
        while left > 0 {
            let want = usize::try_from(left).unwrap_or(CHUNK).min(chunk.len());
            let read = data.read(&mut chunk[..want]).await?;
            if read == 0 {
                return Err(Error::Misuse("a message ended before its announced size"));
            }
            left -= read as u64;
            self.connection.queue(&chunk[..read]);
            // Small messages go in one write with what stands around them.
            if left > 0 {
                self.connection.flush().await?;
            }
        }
        Ok(())
    }
}

fn uid_code(code: Code) -> AppendUid {
    match code {
        Code::AppendUid { uid_validity, uids } => Some((uid_validity, uids)),
        _ => None,
    }
}
