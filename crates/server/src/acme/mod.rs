//! Certificates from an ACME authority (RFC 8555): ordered when there is none for the configured domains,
//! and again before it ends.
//!
//! DATA/tls/acme has the account (`account.json`) and the certificate with its key (`certificate.pem`). A
//! new one is in use from the next connection on.

mod challenge;
mod client;
mod web;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, ChallengeType, Error, ExternalAccountKey,
    Identifier, NewAccount, NewOrder, Order, OrderStatus, Problem, RetryPolicy,
};
use restante_auth::Secret;
use tokio::sync::{Notify, watch};

use challenge::Running;
pub(crate) use challenge::{ACME_TLS, Challenges};
pub(crate) use web::answer;

use crate::config::{Acme, AcmeChallenge, Config};
use crate::files;
use crate::time::unix_now;
use crate::tls::{CertificateFiles, CertificateSet, Lifetime};
use client::Client;

/// How long the authority has to look at a challenge, and to make a certificate.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long one of its answers may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// The wait after the first failure; it grows to the longest. Authorities limit failures by the hour.
const FIRST_WAIT: Duration = Duration::from_secs(60);
const LONGEST_WAIT: Duration = Duration::from_secs(12 * 3600);
/// The least wait where the authority says that it was too much.
const LIMITED_WAIT: Duration = Duration::from_secs(3600);
/// How often it is looked whether a certificate is due, at the least.
const LOOK_EVERY: Duration = Duration::from_secs(6 * 3600);

/// Where the certificate is kept, with its key.
pub(crate) fn certificate_files(data: &Path) -> CertificateFiles {
    let file = directory(data).join("certificate.pem");
    CertificateFiles {
        certificate: file.clone(),
        key: file,
        self_signed: false,
    }
}

fn directory(data: &Path) -> PathBuf {
    data.join("tls").join("acme")
}

/// Keeps the certificate of the configured domains, until the server goes down.
pub(crate) struct Keeper {
    acme: Acme,
    data: PathBuf,
    certificates: Arc<CertificateSet>,
    /// Told when somebody wants a failed order tried again now.
    now: Arc<Notify>,
}

impl Keeper {
    /// `None` if no domains are configured.
    pub(crate) fn new(
        config: &Config,
        certificates: &Arc<CertificateSet>,
        now: &Arc<Notify>,
    ) -> Option<Keeper> {
        (!config.acme.domains.is_empty()).then(|| Keeper {
            acme: config.acme.clone(),
            data: config.data_dir(),
            certificates: Arc::clone(certificates),
            now: Arc::clone(now),
        })
    }

    pub(crate) async fn run(self, mut down: watch::Receiver<bool>) {
        let mut failed: u32 = 0;
        loop {
            let due = self.due_in();
            let wait = if due.is_zero() {
                let ordered = match self.order().await {
                    // Or it would be ordered again and again.
                    Ok(()) if self.due_in().is_zero() => Err(Failure::new(
                        "the new certificate is over already, or not for all the names",
                    )
                    .hint("check the clock of this machine")),
                    ordered => ordered,
                };
                match ordered {
                    Ok(()) => {
                        failed = 0;
                        Duration::ZERO
                    }
                    Err(failure) => {
                        failed += 1;
                        let wait = failure.wait(failed);
                        tracing::error!(
                            domains = self.acme.domains.join(" "),
                            authority = %self.acme.directory,
                            error = %failure.text,
                            hint = failure.hint,
                            next_try = ?wait,
                            "no certificate from the ACME authority; what there is stays in use. \
                             `restante reload` tries again at once"
                        );
                        wait
                    }
                }
            } else {
                due.min(LOOK_EVERY)
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.now.notified() => {}
                _ = down.wait_for(|down| *down) => return,
            }
        }
    }

    /// How long it is until a certificate is to be ordered.
    fn due_in(&self) -> Duration {
        let Some((names, lifetime)) = self.certificates.acme_names() else {
            return Duration::ZERO;
        };
        if !self
            .acme
            .domains
            .iter()
            .all(|domain| names.contains(domain))
        {
            return Duration::ZERO;
        }
        let left = renewal(lifetime) - unix_now();
        Duration::from_secs(u64::try_from(left).unwrap_or(0))
    }

    async fn order(&self) -> Result<(), Failure> {
        let account = self.account().await?;
        let identifiers = self.acme.domains.iter();
        let identifiers: Vec<_> = identifiers.cloned().map(Identifier::Dns).collect();
        let mut order = account.new_order(&NewOrder::new(&identifiers)).await?;
        let challenges = self.certificates.challenges();
        // Taken away when this ends, however it ends.
        let mut running = Vec::new();
        self.accept_challenges(&mut order, challenges, &mut running)
            .await?;
        let policy = RetryPolicy::default().timeout(PATIENCE);
        let ready = order.poll_ready(&policy).await;
        if !matches!(ready, Ok(OrderStatus::Ready)) {
            if let Some(refused) = refused(&mut order).await {
                return Err(refused);
            }
            ready?;
            return Err(Failure::new("the order was refused, without a reason"));
        }
        let key = order.finalize().await?;
        let chain = order.poll_certificate(&policy).await?;
        self.keep(&key, &chain)?;
        let until = self.certificates.acme_names();
        let until = until.map(|(_, lifetime)| crate::time::header_date(lifetime.not_after));
        tracing::info!(
            domains = self.acme.domains.join(" "),
            until = until.unwrap_or_default(),
            "a new certificate from the ACME authority is in use"
        );
        Ok(())
    }

    async fn accept_challenges(
        &self,
        order: &mut Order,
        challenges: &Arc<Challenges>,
        running: &mut Vec<Running>,
    ) -> Result<(), Failure> {
        let kind = match self.acme.challenge {
            AcmeChallenge::Http01 => ChallengeType::Http01,
            AcmeChallenge::TlsAlpn01 => ChallengeType::TlsAlpn01,
        };
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            if authorization.status == AuthorizationStatus::Valid {
                continue;
            }
            let Some(mut challenge) = authorization.challenge(kind.clone()) else {
                return Err(Failure::new("the authority offers no such challenge")
                    .hint("set acme.challenge to another one, or use another authority"));
            };
            let answer = challenge.key_authorization();
            running.push(match self.acme.challenge {
                AcmeChallenge::Http01 => challenges.http(&challenge.token, answer.as_str()),
                AcmeChallenge::TlsAlpn01 => {
                    let domain = challenge.identifier().to_string();
                    challenges.tls(&domain, answer.digest().as_ref())?
                }
            });
            challenge.set_ready().await?;
        }
        Ok(())
    }

    /// The account at the authority: the one that there is, or a new one.
    async fn account(&self) -> Result<Account, Failure> {
        let path = directory(&self.data).join("account.json");
        let acme = &self.acme;
        let client = Client::new(&acme.ca_file, ANSWER_TIMEOUT)?;
        let builder = || Account::builder_with_http(Box::new(client.clone()));
        if let Some(kept) = kept_account(&path, &acme.directory)? {
            return Ok(builder().from_credentials(kept).await?);
        }
        let contact: Vec<_> = acme.contact.iter().map(|one| contact_url(one)).collect();
        let contact: Vec<_> = contact.iter().map(String::as_str).collect();
        let new = NewAccount {
            contact: &contact,
            terms_of_service_agreed: acme.agree_terms,
            only_return_existing: false,
        };
        let key = external_account(acme)?;
        let made = builder().create(&new, acme.directory.clone(), key.as_ref());
        let (account, credentials) = made.await?;
        let text = serde_json::to_vec(&credentials).map_err(Failure::new)?;
        files::create_private_dir(&directory(&self.data)).map_err(Failure::file)?;
        files::write_private(&path, &text).map_err(Failure::file)?;
        tracing::info!(authority = %acme.directory, account = account.id(), "ACME account made");
        Ok(account)
    }

    /// Writes both in one file, so that neither is ever there without the other, and serves with them.
    fn keep(&self, key: &str, chain: &str) -> Result<(), Failure> {
        files::create_private_dir(&directory(&self.data)).map_err(Failure::file)?;
        let files = certificate_files(&self.data);
        let text = format!("{}\n{chain}", key.trim_end());
        files::write_private(&files.certificate, text.as_bytes()).map_err(Failure::file)?;
        let loaded = self.certificates.load_acme(files);
        loaded.map_err(|error| Failure::new(format!("what it sent cannot be used: {error}")))
    }
}

/// A mail address is written as a URL.
fn contact_url(contact: &str) -> String {
    match contact.contains(':') {
        true => contact.to_owned(),
        false => format!("mailto:{contact}"),
    }
}

/// When a certificate is renewed, in seconds from 1970: when a third of its time is left.
fn renewal(lifetime: Lifetime) -> i64 {
    lifetime.not_after - (lifetime.not_after - lifetime.not_before) / 3
}

/// The account in the file, if it is one of this authority's.
fn kept_account(path: &Path, authority: &str) -> Result<Option<AccountCredentials>, Failure> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Failure::file(error)),
    };
    let unusable = |error: serde_json::Error| {
        Failure::new(format!("{}: {error}", path.display()))
            .hint("remove the file: the server makes another account")
    };
    let value: serde_json::Value = serde_json::from_slice(&text).map_err(unusable)?;
    if value.get("directory").and_then(serde_json::Value::as_str) != Some(authority) {
        return Ok(None);
    }
    serde_json::from_value(value).map(Some).map_err(unusable)
}

/// Why the authority did not believe us.
async fn refused(order: &mut Order) -> Option<Failure> {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let Ok(state) = authorization.refresh().await else {
            continue;
        };
        let name = state.identifier().to_string();
        let problem = state.challenges.iter().find_map(|one| one.error.clone());
        if let Some(problem) = problem {
            let mut failure = Failure::from(problem);
            failure.text = format!("{name}: {}", failure.text);
            return Some(failure);
        }
    }
    None
}

/// Why there is no certificate, and what can be done.
#[derive(Debug)]
struct Failure {
    text: String,
    hint: &'static str,
    limited: bool,
}

impl Failure {
    fn new(text: impl ToString) -> Failure {
        Failure {
            text: text.to_string(),
            hint: "the authority's word is above",
            limited: false,
        }
    }

    fn hint(self, hint: &'static str) -> Failure {
        Failure { hint, ..self }
    }

    fn file(error: std::io::Error) -> Failure {
        Failure::new(error).hint("the server must be able to write to DATA/tls/acme")
    }

    /// How long to wait after so many failures.
    fn wait(&self, failed: u32) -> Duration {
        // 1, 4, 16, … minutes.
        let wait = FIRST_WAIT.saturating_mul(4u32.saturating_pow(failed.saturating_sub(1)));
        let least = if self.limited {
            LIMITED_WAIT
        } else {
            FIRST_WAIT
        };
        wait.clamp(least, LONGEST_WAIT)
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Failure {
        let kind = problem.r#type.as_deref().unwrap_or_default();
        let kind = kind.strip_prefix("urn:ietf:params:acme:error:");
        // RFC 8555 §6.7
        let hint = match kind.unwrap_or_default() {
            "connection" | "tls" => {
                "the authority could not reach the server: for http-01 port 80 of every domain must lead \
                 to listen.http, for tls-alpn-01 port 443 to listen.imaps, also by IPv6 if the DNS has \
                 AAAA records"
            }
            "unauthorized" | "incorrectResponse" => {
                "something else answered: port 80 (http-01) or 443 (tls-alpn-01) of the domain must lead to \
                 this server, with nothing between that ends TLS"
            }
            "dns" => "the DNS has no usable address for the domain: check its A and AAAA records",
            "externalAccountRequired" => {
                "the authority serves customers: set acme.eab_key_id and acme.eab_key_file to what it gave you"
            }
            "caa" => {
                "the domain's CAA records do not let this authority issue: change them or acme.directory"
            }
            "rateLimited" => {
                "too many orders or failures: wait, and test with the authority's staging directory"
            }
            "rejectedIdentifier" => {
                "the authority does not issue for this name: check acme.domains"
            }
            "invalidContact" | "unsupportedContact" => "check acme.contact: mail addresses",
            "userActionRequired" => "the terms have changed: read them, then try again",
            "accountDoesNotExist" => {
                "remove DATA/tls/acme/account.json: the server makes another account"
            }
            _ => "the authority's word is above",
        };
        Failure {
            limited: kind == Some("rateLimited"),
            text: problem.to_string(),
            hint,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        match error {
            Error::Api(problem) => problem.into(),
            Error::Timeout(_) => Failure::new("the authority took too long"),
            Error::Other(error) => Failure::new(error)
                .hint("check acme.directory and acme.ca_file, and that this machine reaches it"),
            Error::Json(error) => Failure::new(format!("what it said is no ACME: {error}"))
                .hint("check acme.directory: the address of the authority's directory"),
            other => Failure::new(other),
        }
    }
}

/// The key that binds the new account to one that the operator has with the authority already (RFC 8555 §7.3.4).
fn external_account(acme: &Acme) -> Result<Option<ExternalAccountKey>, Failure> {
    if acme.eab_key_id.is_empty() {
        return Ok(None);
    }
    let hint = "acme.eab_key_file must hold the key that the authority gave you, in base64url";
    let wrong = |error: &dyn std::fmt::Display| Failure::new(error).hint(hint);
    let text = files::read_secret(&acme.eab_key_file).map_err(|error| wrong(&error))?;
    let text = Secret::new(text);
    // Some authorities write it with padding.
    let text = text.expose().trim_ascii();
    let end = text.iter().rposition(|&byte| byte != b'=');
    let text = &text[..end.map_or(0, |end| end + 1)];
    let key = URL_SAFE_NO_PAD.decode(text);
    let key = Secret::new(key.map_err(|error| wrong(&error))?);
    if key.expose().is_empty() {
        return Err(wrong(&"no key"));
    }
    let id = acme.eab_key_id.clone();
    Ok(Some(ExternalAccountKey::new(id, key.expose())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(kind: &str) -> Failure {
        let text =
            format!("{{\"type\": \"urn:ietf:params:acme:error:{kind}\", \"detail\": \"no\"}}");
        let problem: Problem = serde_json::from_str(&text).unwrap();
        problem.into()
    }

    #[test]
    fn waits_grow_and_end() {
        let failure = problem("connection");
        assert!(failure.hint.contains("listen.http"));
        assert_eq!(failure.wait(1), FIRST_WAIT);
        assert_eq!(failure.wait(2), 4 * FIRST_WAIT);
        assert_eq!(failure.wait(100), LONGEST_WAIT);
        assert_eq!(problem("rateLimited").wait(1), LIMITED_WAIT);
    }

    #[test]
    fn a_third_of_the_time_is_left_for_renewal() {
        let lifetime = |days: i64| Lifetime {
            not_before: 0,
            not_after: days * 86_400,
        };
        assert_eq!(renewal(lifetime(90)), 60 * 86_400);
        assert_eq!(renewal(lifetime(6)), 4 * 86_400);
    }

    #[test]
    fn an_account_belongs_to_one_authority() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("account.json");
        assert!(kept_account(&path, "https://a/").unwrap().is_none());
        std::fs::write(
            &path,
            r#"{"id": "1", "key_pkcs8": "AAAA", "directory": "https://a/"}"#,
        )
        .unwrap();
        assert!(kept_account(&path, "https://a/").unwrap().is_some());
        assert!(kept_account(&path, "https://b/").unwrap().is_none());
        std::fs::write(&path, "{").unwrap();
        let failure = kept_account(&path, "https://a/").map(drop).unwrap_err();
        assert!(failure.hint.contains("remove the file"));
    }

    #[test]
    fn contacts_are_mail_addresses() {
        assert_eq!(contact_url("a@example.org"), "mailto:a@example.org");
        assert_eq!(contact_url("mailto:a@example.org"), "mailto:a@example.org");
    }
}
