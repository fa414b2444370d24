//! The record of logins: who, from where, how, with what, and what came of it.
//!
//! It is written beside the logins, which do not wait for it: a power cut may lose some seconds of it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use restante_mailbox::{AccountId, Mail};
use restante_session::{LoginSeen, Peer};
use serde::{Deserialize, Serialize};

/// Logins that are kept of each user.
const KEPT: usize = 200;
/// Logins that wait to be written. Of those above, the oldest are only in the log.
const WAITING_MAX: usize = 20_000;
/// The longest text of one field, in bytes.
const TEXT_BYTES_MAX: usize = 300;

/// One login.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginLine {
    /// When, milliseconds since 1970.
    #[serde(default)]
    pub at_ms: i64,
    /// From where: address and port.
    pub from: String,
    /// The mechanism.
    pub how: String,
    /// How the connection was secured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security: Option<String>,
    /// What the client said of itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// Why it failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// Logins that are not written yet.
#[derive(Debug, Default)]
pub(crate) struct Record(Mutex<Vec<Seen>>);

#[derive(Debug)]
struct Seen {
    account: Option<AccountId>,
    /// Of a failed login.
    user: String,
    at_ms: i64,
    line: LoginLine,
}

impl Record {
    fn lock(&self) -> MutexGuard<'_, Vec<Seen>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a login.
    pub(crate) fn seen(&self, login: &LoginSeen<'_>, at_ms: i64) {
        let seen = Seen {
            account: login.account,
            user: match login.account {
                Some(_) => String::new(),
                None => login.user.to_owned(),
            },
            at_ms,
            line: LoginLine {
                at_ms,
                from: login.peer.to_string(),
                how: login.how.to_owned(),
                security: login.security.clone(),
                client: login.client.map(short),
                failure: login.failure.map(|error| short(&error.reason())),
            },
        };
        let mut waiting = self.lock();
        if waiting.len() >= WAITING_MAX {
            waiting.drain(..WAITING_MAX / 10);
        }
        waiting.push(seen);
    }

    /// Notes what the client of a login that waits to be written says of itself.
    pub(crate) fn client_told(&self, account: AccountId, peer: &Peer, client: &str) {
        let from = peer.to_string();
        let mut waiting = self.lock();
        let mut newest = waiting.iter_mut().rev();
        let login = newest.find(|seen| seen.account == Some(account) && seen.line.from == from);
        if let Some(login) = login {
            login.line.client = Some(short(client));
        }
    }

    /// Writes down what waits.
    pub(crate) async fn save(&self, mail: &Mail) {
        let waiting = std::mem::take(&mut *self.lock());
        let mut by_account: HashMap<AccountId, Vec<(i64, Vec<u8>)>> = HashMap::new();
        // Names that failed, so that each is looked up once.
        let mut accounts: HashMap<String, Option<AccountId>> = HashMap::new();
        for seen in waiting {
            let account = match seen.account {
                Some(account) => Some(account),
                None => match accounts.get(&seen.user) {
                    Some(account) => *account,
                    None => {
                        let user = mail.user(&seen.user).await.ok().flatten();
                        let account = user.map(|user| user.account);
                        accounts.insert(seen.user, account);
                        account
                    }
                },
            };
            // Nobody's failures are in the log only.
            if let (Some(account), Ok(line)) = (account, serde_json::to_vec(&seen.line)) {
                by_account
                    .entry(account)
                    .or_default()
                    .push((seen.at_ms, line));
            }
        }
        for (account, logins) in by_account {
            if let Err(error) = mail.keep_logins(account, &logins, KEPT).await {
                tracing::warn!(%error, "the record of logins could not be written");
            }
        }
    }
}

/// The logins of an account that are kept, the oldest first.
pub(crate) async fn logins(
    mail: &Mail,
    account: AccountId,
) -> Result<Vec<LoginLine>, restante_mailbox::MailError> {
    let rows = mail.logins(account).await?;
    let line = |(at_ms, row): (i64, Vec<u8>)| {
        let line: LoginLine = serde_json::from_slice(&row).ok()?;
        Some(LoginLine { at_ms, ..line })
    };
    Ok(rows.into_iter().filter_map(line).collect())
}

fn short(text: &str) -> String {
    text[..text.floor_char_boundary(TEXT_BYTES_MAX)].to_owned()
}
