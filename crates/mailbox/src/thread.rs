//! Threads: which emails belong together (RFC 8474 §5.2).
//!
//! A row for every Message-ID that was seen or referred to says to which thread it belongs. A new
//! email joins the thread of the first of these that is known: its own Message-ID, In-Reply-To, the
//! newest References first. What it was given never changes, so two threads that turn out to be one
//! stay two.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use restante_message::{MessageIdHash, SortKeys};
use restante_store::Put;

use crate::{
    error::{MailError, Result},
    keys,
    mail::Core,
    types::{AccountId, EmailId, ThreadId},
};

/// References that are looked at, the newest ones.
const REFERENCES_MAX: usize = 12;

/// THREADIDs of messages that are not committed yet, so that an answer that comes with its question
/// finds it.
#[derive(Debug, Default)]
pub(crate) struct ThreadsOnTheWay(Arc<Mutex<HashMap<u64, (ThreadId, u32)>>>);

/// Keeps the Message-IDs of one email known until its rows are committed, or given up.
#[derive(Debug)]
pub(crate) struct OnTheWay {
    all: Arc<Mutex<HashMap<u64, (ThreadId, u32)>>>,
    hashes: Vec<u64>,
}

/// To which thread an email belongs.
#[derive(Debug)]
pub(crate) struct Threaded {
    pub(crate) thread: ThreadId,
    /// The hash of its own Message-ID; 0: it has none.
    pub(crate) message_id: u64,
    /// The rows to write with it.
    pub(crate) puts: Vec<Put>,
    pub(crate) on_the_way: OnTheWay,
}

/// The hashes of an email's own Message-ID (0: none), and of those that it refers to, the nearest
/// first.
fn related(keys: &SortKeys) -> (u64, Vec<u64>) {
    // 0 says that there is none.
    let hash = |id: &MessageIdHash| id.0.max(1);
    let own = keys.message_id.as_ref().map_or(0, hash);
    let mut others = Vec::new();
    for id in keys.in_reply_to.iter().chain(keys.references.iter().rev()) {
        let hash = hash(id);
        if hash != own && others.len() < REFERENCES_MAX && !others.contains(&hash) {
            others.push(hash);
        }
    }
    (own, others)
}

/// The value of a thread row: the thread, and the email that wrote it (0 for one that was only
/// referred to).
fn encode(thread: ThreadId, email: EmailId) -> Vec<u8> {
    let mut out = Vec::with_capacity(17);
    out.push(1);
    out.extend_from_slice(&thread.0.to_le_bytes());
    out.extend_from_slice(&email.0.to_le_bytes());
    out
}

/// Reads a thread row.
pub(crate) fn decode(bytes: &[u8]) -> Option<(ThreadId, EmailId)> {
    let (version, rest) = bytes.split_first()?;
    let (thread, rest) = rest.split_first_chunk()?;
    let (email, rest) = rest.split_first_chunk()?;
    (*version == 1 && rest.is_empty()).then_some((
        ThreadId(u64::from_le_bytes(*thread)),
        EmailId(u64::from_le_bytes(*email)),
    ))
}

impl ThreadsOnTheWay {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, (ThreadId, u32)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finds the thread of a new email, or begins one.
    pub(crate) async fn assign(
        &self,
        core: &Core,
        account: AccountId,
        sort_keys: &SortKeys,
        email: EmailId,
    ) -> Result<Threaded> {
        let (own, others) = related(sort_keys);
        let mut hashes = others;
        if own != 0 {
            hashes.insert(0, own);
        }
        let wanted: Vec<_> = hashes
            .iter()
            .map(|hash| keys::thread(account, *hash))
            .collect();
        let rows = match wanted.is_empty() {
            true => Vec::new(),
            false => core.store.get_many(&wanted).await?,
        };
        let mut known = Vec::with_capacity(rows.len());
        for row in rows {
            known.push(match row {
                Some(row) => Some(
                    decode(&row)
                        .ok_or_else(|| MailError::damaged("a thread"))?
                        .0,
                ),
                None => None,
            });
        }
        let mut all = self.lock();
        let on_the_way = |hash: &u64| all.get(hash).map(|(thread, _)| *thread);
        let thread = known
            .iter()
            .zip(&hashes)
            .find_map(|(known, hash)| known.or_else(|| on_the_way(hash)))
            .unwrap_or(ThreadId(email.0));
        let mut puts = Vec::new();
        let mut unknown = Vec::new();
        for (hash, key) in hashes
            .iter()
            .zip(wanted)
            .zip(&known)
            .filter_map(|(pair, known)| {
                // What is known keeps its thread.
                known.is_none().then_some(pair)
            })
        {
            all.entry(*hash).or_insert((thread, 0)).1 += 1;
            let (thread, _) = all[hash];
            let writer = if *hash == own { email } else { EmailId(0) };
            puts.push(Put::new(key, encode(thread, writer)));
            unknown.push(*hash);
        }
        drop(all);
        Ok(Threaded {
            thread,
            message_id: own,
            puts,
            on_the_way: OnTheWay {
                all: self.0.clone(),
                hashes: unknown,
            },
        })
    }
}

impl Drop for OnTheWay {
    fn drop(&mut self) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        for hash in &self.hashes {
            if let Some((_, holders)) = all.get_mut(hash) {
                *holders -= 1;
                if *holders == 0 {
                    all.remove(hash);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_a_header() {
        let keys = |header: &[u8]| related(&SortKeys::of_header(header));
        let hash = |id: &[u8]| MessageIdHash::of(id).0.max(1);
        let header = b"Message-ID: <own@x>\r\n\
            In-Reply-To: Your message of Monday <b@x>\r\n\
            References: <a@x>\r\n <b@x>\r\n\t<c@x>\r\n\r\n";
        let (own, others) = keys(header);
        assert_eq!(own, hash(b"own@x"));
        assert_eq!(others, [&b"b@x"[..], b"c@x", b"a@x"].map(hash));
        assert_eq!(keys(b"Subject: x\r\n\r\n"), (0, vec![]));
    }

    #[test]
    fn rows_come_back() {
        let row = encode(ThreadId(7), EmailId(9));
        assert_eq!(decode(&row), Some((ThreadId(7), EmailId(9))));
        assert_eq!(decode(&row[1..]), None);
    }
}
