//! A server that lets nobody in, for whatever can be sent before a login: what the property test and the
//! fuzz target of the same have in common.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use restante_auth::sasl::{Channel, Credentials, Proof, ScramHash, ScramKeys};
use restante_mailbox::{Mail, MailOptions};
use restante_proto::client::{
    Mode, ResponseEvent, ResponseFramer, ResponseLimits, decode_response,
};
use restante_proto::types::{Condition, Response, UntaggedData};
use restante_session::{
    Answer, Authenticator, ClientCertificate, Env, Limits, LoginError, Offers, Peer, PlainIo,
    TokenRefusal, Verdict, serve,
};
use restante_store::{MemoryOptions, Store};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::watch;

/// How long a dialogue may take: it waits for nothing but its own input.
const PATIENCE: Duration = Duration::from_secs(60);

/// The door.
pub struct Door {
    env: Arc<Env>,
    channel: Channel,
    _shutdown: watch::Sender<bool>,
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door").finish_non_exhaustive()
    }
}

impl Door {
    /// A door that offers every way to sign in, and knows nobody.
    ///
    /// # Panics
    /// The store in memory cannot be opened.
    pub async fn new() -> Door {
        let store = Store::memory(MemoryOptions::default());
        let mail = Mail::open(store, MailOptions::default()).await;
        let (shutdown, down) = watch::channel(false);
        let limits = Limits {
            login_delay: Duration::ZERO,
            ..Limits::default()
        };
        Door {
            env: Arc::new(Env {
                limits,
                ..Env::new(mail.expect("an empty store opens"), Arc::new(Nobody), down)
            }),
            channel: Channel {
                exporter: Some(vec![7; 32]),
                end_point: Some(vec![8; 32]),
                certificate: Some(ClientCertificate {
                    names: vec!["alice".to_owned()],
                    ..ClientCertificate::default()
                }),
            },
            _shutdown: shutdown,
        }
    }

    /// Sends `input` in pieces of these sizes, over and over, then ends the sending; returns what came
    /// back.
    ///
    /// # Errors
    /// What must not be, in words: a panic, a session that does not end, an answer that is not grammatical
    /// or tells something of mail.
    pub async fn knock(
        &self,
        input: &[u8],
        sizes: &[usize],
        secure: bool,
    ) -> Result<Vec<u8>, String> {
        let (client, server) = tokio::io::duplex(16 << 10);
        let channel = match secure {
            true => self.channel.clone(),
            false => Channel::default(),
        };
        let io = Box::new(PlainIo::new(server, secure).with_channel(channel));
        let peer = Peer {
            address: Some(std::net::Ipv4Addr::new(192, 0, 2, 1).into()),
            port: 4321,
        };
        let session = tokio::spawn(serve(io, Arc::clone(&self.env), peer));
        let (mut from, mut to) = tokio::io::split(client);
        let write = async {
            let mut rest = input;
            for size in sizes.iter().cycle() {
                let (now, later) =
                    rest.split_at((*size).clamp(1, rest.len().max(1)).min(rest.len()));
                // The session may have ended already.
                if now.is_empty() || to.write_all(now).await.is_err() {
                    break;
                }
                tokio::task::yield_now().await;
                rest = later;
            }
            let _ = to.shutdown().await;
        };
        let mut answers = Vec::new();
        let read = from.read_to_end(&mut answers);
        let talk = async { tokio::join!(write, read).1 };
        match tokio::time::timeout(PATIENCE, talk).await {
            Err(_) => return Err("it neither answers nor ends".to_owned()),
            Ok(Err(error)) => return Err(error.to_string()),
            Ok(Ok(_)) => {}
        }
        match tokio::time::timeout(PATIENCE, session).await {
            Err(_) => Err("the session does not end".to_owned()),
            Ok(Err(error)) => Err(error.to_string()),
            Ok(Ok(())) => told_nothing(&answers).map(|()| answers),
        }
    }
}

/// Checks that answers are grammatical, and that none is one for users only.
fn told_nothing(answers: &[u8]) -> Result<(), String> {
    let mut framer = ResponseFramer::new(ResponseLimits::default());
    framer.push(answers);
    let mut greeted = false;
    loop {
        let frame = match framer.next_event().map_err(|error| error.to_string())? {
            None => break,
            Some(ResponseEvent::Frame(frame)) => frame,
            Some(_) => continue,
        };
        let text = || String::from_utf8_lossy(&frame.bytes).into_owned();
        let response = decode_response(&frame, Mode::Strict);
        match response.map_err(|error| format!("{error}: {:?}", text()))? {
            Response::Continuation(_)
            | Response::Data(UntaggedData::Capability(_) | UntaggedData::Id(_)) => {}
            Response::Status(status) if status.condition != Condition::PreAuth => {}
            _ => return Err(format!("an answer for users: {:?}", text())),
        }
        greeted = true;
    }
    match framer.pending() {
        0 if greeted => Ok(()),
        0 => Err("no greeting".to_owned()),
        _ => Err("the connection ends within a response".to_owned()),
    }
}

/// Knows nobody, and tells nobody so.
struct Nobody;

impl Authenticator for Nobody {
    fn offers(&self) -> Offers {
        Offers {
            passwords: true,
            scram_sha1: true,
            scram_sha256: true,
            tokens: true,
            certificates: true,
            anonymous: true,
        }
    }

    fn check<'a>(&'a self, credentials: &'a Credentials, _peer: &'a Peer) -> Verdict<'a> {
        let refusal = match &credentials.proof {
            Proof::Scram(proof) if proof.is_right() => {
                // The keys are nobody's: there is no password for them.
                panic!("a right proof for keys of nobody")
            }
            Proof::Token(_) => LoginError::Token(Box::new(TokenRefusal {
                reason: "unknown".to_owned(),
                lacks_scope: false,
                scope: "mail".to_owned(),
                configuration: "https://id.example/.well-known/openid-configuration".to_owned(),
            })),
            _ => LoginError::rejected("unknown user"),
        };
        Box::pin(async { Err(refusal) })
    }

    fn scram_keys<'a>(
        &'a self,
        user: &'a str,
        hash: ScramHash,
        _peer: &'a Peer,
    ) -> Answer<'a, ScramKeys> {
        let keys = ScramKeys::of_nobody(hash, b"secret", user, 4096);
        Box::pin(async { Ok(keys) })
    }
}
