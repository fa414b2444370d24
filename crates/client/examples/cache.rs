//! A local cache of a mailbox's flags, kept in sync with QRESYNC (RFC 7162).
//!
//! ```sh
//! cargo run -p restante-client --example cache -- 127.0.0.1:1143 USER PASSWORD
//! ```
//!
//! It syncs INBOX, waits until something happens there, syncs again, and so on.

use std::collections::BTreeMap;

use restante_client::types::*;
use restante_client::{Client, Result};

/// What is known of a mailbox. To be written down between visits, all of it or nothing.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Cache {
    validity: Option<UidValidity>,
    mod_seq: Option<ModSeq>,
    /// The messages and their flags.
    pub(crate) messages: BTreeMap<Uid, Vec<Flag>>,
}

impl Cache {
    /// Selects the mailbox and brings the cache up to date: one round trip, however much there is, and an
    /// answer as long as what has changed. The connection has QRESYNC enabled.
    pub(crate) async fn sync(&mut self, client: &mut Client, mailbox: &str) -> Result<()> {
        let known = self.validity.zip(self.mod_seq);
        let selected = client
            .select_with(Select {
                mailbox: MailboxName::new(mailbox),
                read_only: false,
                condstore: true,
                qresync: known.map(|(uid_validity, mod_seq)| QResync {
                    uid_validity,
                    mod_seq,
                    known_uids: None,
                    known_match: None,
                }),
            })
            .await?;
        let mut changed = selected.changed;
        if known.is_none() || selected.uid_validity != self.validity {
            // Another mailbox under this name, or the first time: nothing that was known is of use.
            self.messages.clear();
            if selected.exists > 0 {
                let all = MessageSet::Uid(UidSet::all());
                changed = client.fetch(all, vec![FetchAttribute::Flags]).await?;
            }
        }
        let gone = |uid: Uid| selected.vanished.contains(uid, uid);
        self.messages.retain(|uid, _| !gone(*uid));
        for message in changed {
            if let (Some(uid), Some(flags)) = (message.uid(), message.flags()) {
                // \Recent is about a session, not about the message.
                let kept = flags.iter().filter(|flag| **flag != Flag::Recent);
                self.messages.insert(uid, kept.cloned().collect());
            }
        }
        // Not that of a later response: what came between would be missed.
        self.validity = selected.uid_validity;
        self.mod_seq = selected.highest_mod_seq;
        Ok(())
    }
}

#[tokio::main]
#[allow(dead_code, reason = "tests use the cache alone")]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, user, password] = &arguments[..] else {
        eprintln!("cache ADDRESS USER PASSWORD");
        std::process::exit(2);
    };
    let mut client = Client::connect(address.as_str()).await?;
    client.login(user, password).await?;
    client.enable(&["QRESYNC"]).await?;
    let mut cache = Cache::default();
    loop {
        cache.sync(&mut client, "INBOX").await?;
        println!("{} messages", cache.messages.len());
        let mut idle = client.idle().await?;
        idle.next().await?;
        idle.done().await?;
    }
}
