//! Mailboxes from elsewhere: UIDs and UIDVALIDITY that clients know are kept.

use std::sync::Arc;

use bytes::Bytes;
use restante_store::Batch;

use crate::{
    Slot, UidSet,
    account::Account,
    error::{MailError, Result},
    keys,
    mailbox::Mailbox,
    name::MailboxName,
    ops::{Append, Appended},
    record::Effect,
    snapshot::{Annotations, Import, ImportError, PartKey, Wanted},
    stored,
    tail::TailState,
    tree::{SpecialUse, TreeEffect},
    types::{ModSeq, Row, Uid, UidValidity},
};

impl Account {
    /// Puts a mailbox with the given UIDVALIDITY in the place of one that was never used, which may be
    /// INBOX. Its special use and its subscription stay.
    ///
    /// # Errors
    /// [`MailError::NoSuchMailbox`]; [`MailError::Conflict`] if there are, or were, messages in it.
    pub async fn renew(self: &Arc<Self>, name: &MailboxName, to: UidValidity) -> Result<()> {
        let mailbox = self.mailbox(name).await?;
        mailbox.refresh().await?;
        let (old, id, name) = (mailbox.clone(), mailbox.id(), name.clone());
        let outcome = self
            .change_tree(move |tree, change| {
                let entry = tree.get(&name).filter(|entry| entry.id == id);
                let special_use = entry.ok_or(MailError::NoSuchMailbox)?.special_use;
                let pending = old.lock().pending().cloned().ok_or(MailError::Conflict)?;
                let mut tail = pending.tail;
                if tail.uid_next != Uid::MIN || tail.messages != 0 {
                    return Err(MailError::Conflict);
                }
                tail.state = TailState::Deleted;
                let key = keys::tail(change.account(), id);
                change.batch.require_equal.push((key.clone(), pending.row));
                change.batch.put(key, tail.encode());
                change.effects.push(TreeEffect::Delete { id });
                let entry = change.new_mailbox(special_use, Some(to))?;
                let name = name.clone();
                change.effects.push(TreeEffect::Create { name, entry });
                Ok(())
            })
            .await;
        mailbox.refresh_anew().await?;
        outcome
    }
}

/// A mailbox as it was elsewhere, for [`Account::fill`].
#[derive(Clone, Debug)]
pub struct Fill {
    /// Its UIDVALIDITY.
    pub uid_validity: UidValidity,
    /// Its UIDNEXT, if that is larger than the UIDs of its messages need.
    pub uid_next: Uid,
    /// Its HIGHESTMODSEQ, if that is larger than those of its messages.
    pub modseq: ModSeq,
    /// Its keywords.
    pub keywords: Vec<(Slot, Box<str>)>,
}

impl Account {
    /// Creates a mailbox that begins with given messages: UIDs, UIDVALIDITY, modseqs, dates and flags are
    /// kept. The emails must be there already. Takes bounded memory, however many there are; the mailbox
    /// is empty until all are in.
    ///
    /// # Errors
    /// [`MailError::AlreadyExists`]; [`MailError::Misuse`] for rows that cannot be;
    /// [`MailError::Conflict`] if somebody else wrote to the mailbox meanwhile.
    pub async fn fill(
        self: &Arc<Self>,
        name: &MailboxName,
        special_use: SpecialUse,
        fill: Fill,
        rows: impl IntoIterator<Item = Row> + Send,
    ) -> Result<Arc<Mailbox>> {
        let misuse = |error: ImportError| MailError::misuse(error.to_string());
        let id = self
            .create_with(name, special_use, Some(fill.uid_validity))
            .await?;
        let mailbox = self.open(id).await?;
        let mut import = Import::new(fill.uid_validity, self.core.nonce());
        for (slot, name) in &fill.keywords {
            import.define_keyword(*slot, name).map_err(misuse)?;
        }
        let put = async |parts: Vec<(PartKey, Bytes)>| {
            let mut batch = Batch::new(self.id().0);
            for (part, value) in parts {
                batch.put(keys::part(self.id(), id, part), value);
            }
            self.core.store.commit(batch).await.map_err(MailError::from)
        };
        let mut waiting = Vec::new();
        for row in rows {
            import.push(row).map_err(misuse)?;
            waiting.extend(import.drain());
            if waiting.len() >= 64 {
                put(std::mem::take(&mut waiting)).await?;
            }
        }
        let (snapshot, parts) = import.finish(fill.uid_next, fill.modseq, Annotations::new());
        waiting.extend(parts);
        put(waiting).await?;
        let checkpoint = snapshot
            .checkpoint()
            .map_err(|error| MailError::misuse(error.to_string()))?;
        put(checkpoint.puts().to_vec()).await?;
        mailbox.refresh().await?;
        let empty = mailbox.lock().pending().cloned();
        let empty = empty.ok_or(MailError::Conflict)?;
        if empty.tail.modseq != ModSeq::FIRST {
            return Err(MailError::Conflict);
        }
        let mut tail = snapshot.tail().clone();
        tail.root = Some(checkpoint.root());
        tail.wall_ms = self.core.now_ms();
        let mut batch = Batch::new(self.id().0);
        let key = keys::tail(self.id(), id);
        batch.require_equal.push((key.clone(), empty.row));
        batch.put(key, tail.encode());
        let root = keys::root(self.id(), id, checkpoint.root().modseq);
        let value = stored::encode_root(self.core.now_ms(), checkpoint.root_bytes());
        batch.put(root, value);
        self.core.store.commit(batch).await?;
        mailbox.refresh_anew().await?;
        Ok(mailbox)
    }
}

impl Mailbox {
    /// As [`Mailbox::append`]; a message gets the UID given for it, if that is not too small.
    ///
    /// # Errors
    /// As [`Mailbox::append`].
    pub async fn append_at(
        self: &Arc<Self>,
        messages: Vec<Append>,
        uids: &[Option<Uid>],
    ) -> Result<Appended> {
        self.append_with(messages, uids, None).await
    }

    /// Moves UIDNEXT ahead to `to`, if it is smaller: what lies between never was, or is gone.
    ///
    /// # Errors
    /// As [`Mailbox::expunge`].
    pub async fn raise_uid_next(self: &Arc<Self>, to: Uid) -> Result<()> {
        self.change(Wanted::Uids(&UidSet::new()), |loaded| {
            let uids = to.get().saturating_sub(loaded.uid_next().get());
            let jump = Effect::Jump {
                uids,
                modseqs: 1,
                touch: false,
            };
            let effects = if uids == 0 { Vec::new() } else { vec![jump] };
            Ok((effects, |_| ()))
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use restante_store::{MemoryOptions, Store};

    use super::*;
    use crate::{DateTime, FlagNames, Mail, MailOptions};

    async fn append(account: &Arc<Account>) -> Append {
        let mut draft = account.new_email();
        draft.write(b"Subject: x\r\n\r\nx\r\n").await.unwrap();
        Append {
            email: draft.finish().await.unwrap(),
            flags: FlagNames::default(),
            internal_date: DateTime::utc(0),
        }
    }

    #[tokio::test]
    async fn inbox_takes_uidvalidity_and_uids_from_elsewhere() {
        let store = Store::memory(MemoryOptions::default());
        let mail = Mail::open(store, MailOptions::default()).await.unwrap();
        let user = mail.user_add("ada", None).await.unwrap();
        let account = mail.account(user.account).await.unwrap();
        let inbox = MailboxName::inbox();
        let validity = UidValidity::new(1_234_567).unwrap();
        let before = account.mailbox(&inbox).await.unwrap().id();
        account.renew(&inbox, validity).await.unwrap();
        let mailbox = account.mailbox(&inbox).await.unwrap();
        assert_ne!(mailbox.id(), before);
        let mut messages = Vec::new();
        for _ in 0..4 {
            messages.push(append(&account).await);
        }
        let uids = [Uid::new(5), None, Uid::new(3), Uid::new(9)];
        let appended = mailbox.append_at(messages, &uids).await.unwrap();
        let given: Vec<u32> = appended.uids.iter().map(|uid| uid.get()).collect();
        assert_eq!(given, [5, 6, 7, 9]);
        let tail = mailbox.tail().await.unwrap();
        assert_eq!(
            (tail.uid_validity, tail.uid_next.get(), tail.messages),
            (validity, 10, 4)
        );
        mailbox
            .raise_uid_next(Uid::new(100).unwrap())
            .await
            .unwrap();
        mailbox.raise_uid_next(Uid::MIN).await.unwrap();
        assert_eq!(mailbox.tail().await.unwrap().uid_next.get(), 100);
        let again = account.renew(&inbox, UidValidity::new(7).unwrap()).await;
        assert!(matches!(again, Err(MailError::Conflict)), "{again:?}");
    }
}
