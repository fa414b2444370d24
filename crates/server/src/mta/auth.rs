//! Dovecot's authentication protocol, as its clients Postfix and Exim speak it: version 1, lines of fields
//! between tabs. <https://doc.dovecot.org/developer_manual/design/auth_protocol/>

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use restante_auth::sasl::{Channel, Credentials, Mechanism, Refusal, Step, TokenError};
use restante_session::{Env, LoginError, LoginSeen, Offers, Peer};

use super::Stream;
use super::lines::{Lines, invalid};
use crate::live::Current;

/// Exchanges that may be going on in one connection.
const EXCHANGES_MAX: usize = 64;

/// Mechanisms that need no channel, and what Dovecot says of them.
const MECHANISMS: [(&str, &str); 6] = [
    ("PLAIN", "plaintext"),
    ("LOGIN", "plaintext"),
    ("SCRAM-SHA-1", "mutual-auth"),
    ("SCRAM-SHA-256", "mutual-auth"),
    ("OAUTHBEARER", ""),
    ("XOAUTH2", ""),
];

fn is_offered(offers: Offers, mechanism: &str) -> bool {
    match mechanism {
        "PLAIN" | "LOGIN" => offers.passwords,
        "SCRAM-SHA-1" => offers.scram_sha1,
        "SCRAM-SHA-256" => offers.scram_sha256,
        "OAUTHBEARER" | "XOAUTH2" => offers.tokens,
        _ => false,
    }
}

/// One login that a mail server asks about.
struct Exchange {
    mechanism: Mechanism,
    peer: Peer,
    service: String,
    secured: bool,
    /// The user's name, once only the client's last, empty answer is missing.
    proven: Option<String>,
    /// Refused, but the client is to be heard once more.
    refused: Option<(String, LoginError)>,
}

/// What is said to the mail server of one exchange.
enum Said {
    Challenge(Vec<u8>),
    Ok(String),
    Fail(String, LoginError),
}

pub(super) async fn serve(stream: Box<dyn Stream>, current: &Current) -> io::Result<()> {
    let mut lines = Lines::new(stream);
    let greeting = greeting(current.live().session.authenticator.offers());
    lines.write(&greeting).await?;
    let mut exchanges: HashMap<u32, Exchange> = HashMap::new();
    while let Some(line) = lines.next().await? {
        let mut fields = line.split('\t');
        let command = fields.next().unwrap_or_default();
        if command == "VERSION" {
            if fields.next() != Some("1") {
                return Err(invalid("another version of the protocol"));
            }
            continue;
        }
        let id = match command {
            "AUTH" | "CONT" | "CANCEL" => fields.next().and_then(|id| id.parse().ok()),
            // CPID and what newer clients say.
            _ => continue,
        };
        let id: u32 = id.ok_or_else(|| invalid("a request without a number"))?;
        let env = current.live().session;
        let (mut exchange, response) = match command {
            "AUTH" => match begin(&env, fields) {
                Ok((exchange, response)) => (exchange, Some(response)),
                Err(reason) => {
                    lines
                        .write(&format!("FAIL\t{id}\treason={reason}\n"))
                        .await?;
                    continue;
                }
            },
            "CANCEL" => {
                exchanges.remove(&id);
                continue;
            }
            _ => match exchanges.remove(&id) {
                Some(exchange) => (exchange, Some(fields.next().map(str::to_owned))),
                None => return Err(invalid("an exchange that is not going on")),
            },
        };
        let said = match response.flatten() {
            Some(response) => match STANDARD.decode(response) {
                Ok(response) => answer(&env, &mut exchange, &response).await,
                Err(_) => Said::Fail(String::new(), LoginError::rejected("not base64")),
            },
            None if exchange.mechanism.client_first() => Said::Challenge(Vec::new()),
            None => answer(&env, &mut exchange, b"").await,
        };
        match said {
            Said::Challenge(challenge) => {
                if exchanges.len() >= EXCHANGES_MAX {
                    return Err(invalid("too many exchanges at once"));
                }
                exchanges.insert(id, exchange);
                let challenge = STANDARD.encode(challenge);
                lines.write(&format!("CONT\t{id}\t{challenge}\n")).await?;
            }
            Said::Ok(user) => {
                lines
                    .write(&format!("OK\t{id}\tuser={}\n", escape(&user)))
                    .await?;
            }
            Said::Fail(user, error) => {
                let (extra, wait) = match &error {
                    LoginError::Unavailable(reason) => {
                        tracing::error!(peer = %exchange.peer, ?user, reason, "login cannot be checked");
                        ("\ttemp", false)
                    }
                    LoginError::NotAuthorized(_) => ("\tauthz", true),
                    LoginError::Expired => ("\tpass_expired", true),
                    LoginError::Rejected(_) | LoginError::Token(_) => ("", true),
                };
                if wait {
                    record(&env, &exchange, &user, None, Some(&error));
                    tracing::info!(
                        peer = %exchange.peer, ?user, how = exchange.mechanism.name(),
                        service = exchange.service, ?error, "login failed"
                    );
                    tokio::time::sleep(env.limits.login_delay).await;
                }
                let user = match user.is_empty() {
                    true => String::new(),
                    false => format!("\tuser={}", escape(&user)),
                };
                lines.write(&format!("FAIL\t{id}{user}{extra}\n")).await?;
            }
        }
    }
    Ok(())
}

fn greeting(offers: Offers) -> String {
    let mut greeting = "VERSION\t1\t2\n".to_owned();
    for (mechanism, properties) in MECHANISMS {
        if is_offered(offers, mechanism) {
            let tab = if properties.is_empty() { "" } else { "\t" };
            greeting.push_str(&format!("MECH\t{mechanism}{tab}{properties}\n"));
        }
    }
    // The cookie would let other processes ask what was found out: nobody can here.
    let pid = std::process::id();
    greeting.push_str(&format!(
        "SPID\t{pid}\nCUID\t1\nCOOKIE\t00000000000000000000000000000000\nDONE\n"
    ));
    greeting
}

/// An exchange as it is asked for, and the client's first response if it came with it.
fn begin<'a>(
    env: &Env,
    mut fields: impl Iterator<Item = &'a str>,
) -> Result<(Exchange, Option<String>), &'static str> {
    let name = fields.next().unwrap_or_default();
    let mechanism = Mechanism::start(name, &Channel::default());
    let mechanism = mechanism
        .filter(|mechanism| is_offered(env.authenticator.offers(), mechanism.name()))
        .ok_or("unsupported mechanism")?;
    let mut exchange = Exchange {
        mechanism,
        peer: Peer::default(),
        service: String::new(),
        secured: false,
        proven: None,
        refused: None,
    };
    let mut response = None;
    for field in fields {
        match field.split_once('=') {
            Some(("service", service)) => exchange.service = service.chars().take(32).collect(),
            Some(("rip", address)) => {
                exchange.peer.address = address.parse::<IpAddr>().ok();
            }
            Some(("rport", port)) => exchange.peer.port = port.parse().unwrap_or(0),
            Some(("secured", _)) => exchange.secured = true,
            // The last field: it may have a = of its own.
            Some(("resp", text)) => response = Some(text.to_owned()),
            None if field == "secured" => exchange.secured = true,
            _ => {}
        }
    }
    Ok((exchange, response))
}

/// Goes on with what the client has answered.
async fn answer(env: &Env, exchange: &mut Exchange, response: &[u8]) -> Said {
    if let Some((user, error)) = exchange.refused.take() {
        return Said::Fail(user, error);
    }
    if let Some(user) = exchange.proven.take() {
        return match response.is_empty() {
            true => Said::Ok(user),
            false => Said::Fail(
                user,
                LoginError::rejected("the last response is to be empty"),
            ),
        };
    }
    let mut step = exchange.mechanism.step(response);
    loop {
        step = match step {
            Step::Challenge(challenge) => return Said::Challenge(challenge),
            Step::Keys(hash, user) => {
                let keys = env.authenticator.scram_keys(&user, hash, &exchange.peer);
                match keys.await {
                    Ok(keys) => exchange.mechanism.keys(keys),
                    Err(error) => return Said::Fail(user, error),
                }
            }
            Step::Done(credentials) => return conclude(env, exchange, credentials).await,
            Step::Failed(error) => {
                return Said::Fail(String::new(), LoginError::rejected(error.to_string()));
            }
        };
    }
}

async fn conclude(env: &Env, exchange: &mut Exchange, credentials: Credentials) -> Said {
    let error = match env.authenticator.check(&credentials, &exchange.peer).await {
        Ok(identity) => {
            record(env, exchange, &identity.name, Some(identity.account), None);
            tracing::info!(
                peer = %exchange.peer, user = %identity.name, how = exchange.mechanism.name(),
                service = exchange.service, secure = exchange.secured, "login"
            );
            return match exchange.mechanism.last_challenge(None) {
                Some(challenge) => {
                    exchange.proven = Some(identity.name);
                    Said::Challenge(challenge)
                }
                None => Said::Ok(identity.name),
            };
        }
        Err(error) => error,
    };
    let user = match credentials.user.as_str() {
        "" => credentials.acting_as.unwrap_or_default(),
        user => user.to_owned(),
    };
    if let LoginError::Token(refusal) = &error {
        let refusal = Refusal::Token(TokenError {
            lacks_scope: refusal.lacks_scope,
            scope: refusal.scope.as_str().into(),
            configuration: refusal.configuration.as_str().into(),
        });
        if let Some(challenge) = exchange.mechanism.last_challenge(Some(&refusal)) {
            exchange.refused = Some((user, error));
            return Said::Challenge(challenge);
        }
    }
    Said::Fail(user, error)
}

fn record(
    env: &Env,
    exchange: &Exchange,
    user: &str,
    account: Option<restante_mailbox::AccountId>,
    failure: Option<&LoginError>,
) {
    env.authenticator.seen(&LoginSeen {
        user,
        account,
        peer: &exchange.peer,
        how: exchange.mechanism.name(),
        security: exchange
            .secured
            .then(|| "TLS at the mail server".to_owned()),
        client: Some(&exchange.service),
        failure,
    });
}

/// A value without tabs and ends of lines.
fn escape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '\0' => out.push_str("\u{1}0"),
            '\u{1}' => out.push_str("\u{1}1"),
            '\t' => out.push_str("\u{1}t"),
            '\r' => out.push_str("\u{1}r"),
            '\n' => out.push_str("\u{1}n"),
            c => out.push(c),
        }
    }
    out
}
