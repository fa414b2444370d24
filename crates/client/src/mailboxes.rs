//! Authenticated state: mailboxes.

use restante_proto::types::{
    Atom, Code, CommandBody, Flag, List, ListEntry, ListPattern, MailboxName, ModSeq, Namespaces,
    Notify, ObjectId, PermanentFlag, Select, SeqNum, SpecialUse, StatusItem, StatusValue, Uid,
    UidSet, UidValidity, UntaggedData,
};

use crate::client::{Client, Untagged};
use crate::error::{Error, Result};
use crate::messages::Fetched;

/// What SELECT tells of a mailbox (RFC 9051 §6.3.2).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selected {
    /// Number of messages.
    pub exists: u32,
    /// Messages that this session is the first to see; IMAP4rev1 only.
    pub recent: Option<u32>,
    /// Flags that are in use.
    pub flags: Vec<Flag>,
    /// Flags that can be changed for good; empty if the server did not say.
    pub permanent_flags: Vec<PermanentFlag>,
    /// UIDVALIDITY; some servers do not say.
    pub uid_validity: Option<UidValidity>,
    /// UIDNEXT; some servers do not say.
    pub uid_next: Option<Uid>,
    /// The first message without `\Seen`; IMAP4rev1 only.
    pub unseen: Option<SeqNum>,
    /// HIGHESTMODSEQ (RFC 7162 §3.1.2).
    pub highest_mod_seq: Option<ModSeq>,
    /// MAILBOXID (RFC 8474 §4.1).
    pub mailbox_id: Option<ObjectId>,
    /// Whether nothing can be changed.
    pub read_only: bool,
    /// QRESYNC: what is gone since the given modification sequence.
    pub vanished: UidSet,
    /// QRESYNC: what has changed since then.
    pub changed: Vec<Fetched>,
}

impl Client {
    /// ENABLE (RFC 5161): gives what the server enabled.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn enable(&mut self, capabilities: &[&str]) -> Result<Vec<String>> {
        let atoms = capabilities
            .iter()
            .map(|name| Atom::new(*name))
            .collect::<Option<Vec<_>>>();
        let atoms = atoms.ok_or(Error::Misuse("a capability's name is no atom"))?;
        let reply = self.run(CommandBody::Enable(atoms)).await?;
        let enabled = self.own(reply.untagged, |data| match data {
            UntaggedData::Enabled(enabled) => Ok(enabled),
            other => Err(other),
        });
        Ok(enabled.concat())
    }

    /// SELECT.
    ///
    /// # Errors
    /// As [`run`](Self::run); then no mailbox is selected.
    pub async fn select(&mut self, mailbox: &str) -> Result<Selected> {
        self.select_with(plain_select(mailbox, false)).await
    }

    /// EXAMINE: as SELECT, but nothing can be changed.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn examine(&mut self, mailbox: &str) -> Result<Selected> {
        self.select_with(plain_select(mailbox, true)).await
    }

    /// SELECT or EXAMINE with CONDSTORE and QRESYNC (RFC 7162 §3.1.8, §3.2.5).
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn select_with(&mut self, select: Select) -> Result<Selected> {
        let examine = select.read_only;
        let reply = self.run(CommandBody::Select(select)).await?;
        // What stands before CLOSED is about the mailbox that was selected before (RFC 9051 §7.1).
        let closed = |u: &Untagged| matches!(u, Untagged::Status(status) if status.code == Some(Code::Closed));
        let mut untagged = reply.untagged;
        if let Some(at) = untagged.iter().rposition(closed) {
            untagged.drain(..=at).for_each(|u| self.deliver(u));
        }
        let mut selected = Selected {
            read_only: examine,
            ..Selected::default()
        };
        for one in untagged {
            match one {
                Untagged::Status(status) => {
                    if let Some(code) = status.code {
                        selected.note(code);
                    }
                }
                Untagged::Data(data) => {
                    if let Some(other) = selected.take(data) {
                        self.deliver(Untagged::Data(other));
                    }
                }
            }
        }
        if let Some(code) = reply.status.code {
            selected.note(code);
        }
        Ok(selected)
    }

    /// CREATE.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn create(&mut self, mailbox: &str) -> Result<()> {
        self.create_special(mailbox, &[]).await
    }

    /// CREATE with a special use (RFC 6154 §3).
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn create_special(&mut self, mailbox: &str, uses: &[SpecialUse]) -> Result<()> {
        let mailbox = MailboxName::new(mailbox);
        self.simple(CommandBody::Create {
            mailbox,
            special_use: uses.to_vec(),
        })
        .await
    }

    /// DELETE.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn delete(&mut self, mailbox: &str) -> Result<()> {
        self.simple(CommandBody::Delete(MailboxName::new(mailbox)))
            .await
    }

    /// RENAME.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn rename(&mut self, from: &str, to: &str) -> Result<()> {
        let (from, to) = (MailboxName::new(from), MailboxName::new(to));
        self.simple(CommandBody::Rename { from, to }).await
    }

    /// SUBSCRIBE.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn subscribe(&mut self, mailbox: &str) -> Result<()> {
        self.simple(CommandBody::Subscribe(MailboxName::new(mailbox)))
            .await
    }

    /// UNSUBSCRIBE.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn unsubscribe(&mut self, mailbox: &str) -> Result<()> {
        self.simple(CommandBody::Unsubscribe(MailboxName::new(mailbox)))
            .await
    }

    /// LIST with one pattern: `*` and `%` are wildcards.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn list(&mut self, reference: &str, pattern: &str) -> Result<Vec<ListEntry>> {
        let list = List {
            reference: reference.to_owned(),
            patterns: vec![ListPattern(pattern.to_owned())],
            ..List::default()
        };
        Ok(self.list_with(list).await?.0)
    }

    /// LIST with selection and return options (RFC 5258, RFC 6154), and the STATUS responses that
    /// RETURN (STATUS (…)) brings (RFC 5819).
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn list_with(
        &mut self,
        list: List,
    ) -> Result<(Vec<ListEntry>, Vec<(MailboxName, Vec<StatusValue>)>)> {
        let reply = self.run(CommandBody::List(list)).await?;
        let mut entries = Vec::new();
        let statuses = self.own(reply.untagged, |data| match data {
            UntaggedData::List(entry) => {
                entries.push(entry);
                Ok(None)
            }
            UntaggedData::Status { mailbox, values } => Ok(Some((mailbox, values))),
            other => Err(other),
        });
        Ok((entries, statuses.into_iter().flatten().collect()))
    }

    /// LSUB (RFC 3501 §6.3.9).
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn lsub(&mut self, reference: &str, pattern: &str) -> Result<Vec<ListEntry>> {
        let pattern = ListPattern(pattern.to_owned());
        let body = CommandBody::Lsub {
            reference: reference.to_owned(),
            pattern,
        };
        let reply = self.run(body).await?;
        Ok(self.own(reply.untagged, |data| match data {
            UntaggedData::Lsub(entry) => Ok(entry),
            other => Err(other),
        }))
    }

    /// RLIST: LIST with the mailboxes that are on other servers (RFC 2193 §5.1). Commands about those are
    /// refused with a [`Code::Referral`](restante_proto::types::Code::Referral).
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn rlist(&mut self, reference: &str, pattern: &str) -> Result<Vec<ListEntry>> {
        let body = CommandBody::Rlist {
            reference: reference.to_owned(),
            pattern: ListPattern(pattern.to_owned()),
        };
        let reply = self.run(body).await?;
        Ok(self.own(reply.untagged, |data| match data {
            UntaggedData::List(entry) => Ok(entry),
            other => Err(other),
        }))
    }

    /// RLSUB: LSUB with the mailboxes that are on other servers (RFC 2193 §5.2).
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn rlsub(&mut self, reference: &str, pattern: &str) -> Result<Vec<ListEntry>> {
        let body = CommandBody::Rlsub {
            reference: reference.to_owned(),
            pattern: ListPattern(pattern.to_owned()),
        };
        let reply = self.run(body).await?;
        Ok(self.own(reply.untagged, |data| match data {
            UntaggedData::Lsub(entry) => Ok(entry),
            other => Err(other),
        }))
    }

    /// NAMESPACE.
    ///
    /// # Errors
    /// As [`run`](Self::run); the server sends no namespaces.
    pub async fn namespace(&mut self) -> Result<Namespaces> {
        let reply = self.run(CommandBody::Namespace).await?;
        let namespaces = self.own(reply.untagged, |data| match data {
            UntaggedData::Namespace(namespaces) => Ok(namespaces),
            other => Err(other),
        });
        namespaces
            .into_iter()
            .next_back()
            .ok_or(Error::Protocol("no NAMESPACE response"))
    }

    /// STATUS. A server may leave out what it was asked.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn status(
        &mut self,
        mailbox: &str,
        items: &[StatusItem],
    ) -> Result<Vec<StatusValue>> {
        let mailbox = MailboxName::new(mailbox);
        let body = CommandBody::Status {
            mailbox: mailbox.clone(),
            items: items.to_vec(),
        };
        let reply = self.run(body).await?;
        let values = self.own(reply.untagged, |data| match data {
            UntaggedData::Status {
                mailbox: name,
                values,
            } if name == mailbox => Ok(values),
            other => Err(other),
        });
        Ok(values.concat())
    }

    /// GETJMAPACCESS (RFC 9698 §4): the session resource of a JMAP server with the same mail.
    ///
    /// # Errors
    /// As [`run`](Self::run): BAD if the server knows none; the server does not say it.
    pub async fn jmap_access(&mut self) -> Result<String> {
        let reply = self.run(CommandBody::GetJmapAccess).await?;
        let urls = self.own(reply.untagged, |data| match data {
            UntaggedData::JmapAccess(url) => Ok(url),
            other => Err(other),
        });
        let url = urls.into_iter().next_back();
        url.and_then(|url| String::from_utf8(url).ok())
            .ok_or(Error::Protocol("no JMAPACCESS response"))
    }

    /// NOTIFY (RFC 5465): which events of which mailboxes the server tells from now on. What it tells comes as
    /// unsolicited responses: STATUS of mailboxes that are not selected, FETCH, EXPUNGE, LIST, METADATA.
    ///
    /// # Errors
    /// As [`run`](Self::run): NO with BADEVENT and the events that the server knows.
    pub async fn notify(&mut self, notify: Notify) -> Result<()> {
        self.simple(CommandBody::Notify(notify)).await
    }

    /// CLOSE: expunges without telling, and leaves the mailbox.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn close(&mut self) -> Result<()> {
        self.simple(CommandBody::Close).await
    }

    /// UNSELECT: leaves the mailbox (RFC 3691).
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn unselect(&mut self) -> Result<()> {
        self.simple(CommandBody::Unselect).await
    }

    /// CHECK (RFC 3501 §6.4.1).
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn check(&mut self) -> Result<()> {
        self.simple(CommandBody::Check).await
    }
}

fn plain_select(mailbox: &str, read_only: bool) -> Select {
    Select {
        mailbox: MailboxName::new(mailbox),
        read_only,
        condstore: false,
        qresync: None,
    }
}

impl Selected {
    fn note(&mut self, code: Code) {
        match code {
            Code::PermanentFlags(flags) => self.permanent_flags = flags,
            Code::UidValidity(value) => self.uid_validity = Some(value),
            Code::UidNext(uid) => self.uid_next = Some(uid),
            Code::Unseen(seq) => self.unseen = Some(seq),
            Code::HighestModSeq(value) => self.highest_mod_seq = Some(value),
            Code::NoModSeq => self.highest_mod_seq = None,
            Code::MailboxId(id) => self.mailbox_id = Some(id),
            Code::ReadOnly => self.read_only = true,
            Code::ReadWrite => self.read_only = false,
            _ => {}
        }
    }

    /// Takes data that belongs to a SELECT; gives back the rest.
    fn take(&mut self, data: UntaggedData) -> Option<UntaggedData> {
        match data {
            UntaggedData::Exists(count) => self.exists = count,
            UntaggedData::Recent(count) => self.recent = Some(count),
            UntaggedData::Flags(flags) => self.flags = flags,
            UntaggedData::Vanished { uids, .. } => self.vanished.ranges.extend(uids.ranges),
            UntaggedData::Fetch { seq, items } => {
                self.changed.push(Fetched {
                    seq: Some(seq),
                    items,
                });
            }
            // LIST with OLDNAME tells the mailbox's canonical name (RFC 9051 §6.3.2).
            other => return Some(other),
        }
        None
    }
}
