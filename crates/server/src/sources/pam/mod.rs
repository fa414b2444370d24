//! Users of the system's PAM, which may be anything, and may block: each check is a process of its own.
//!
//! The server cannot start programs once it has given up what it does not need (`sandbox.rs`), and PAM's
//! modules want files and rights that it has given up. So a *broker* is started before: this program once
//! more, which starts a *worker* for each check; and before it a *keeper*, which starts another broker when one
//! ends badly. Passwords go through pipes, never through arguments or the environment.
//!
//! Server and broker talk by a socket that keeps messages apart (SOCK_SEQPACKET): one broker can go on where
//! another has ended.

mod broker;
mod library;
mod worker;

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram as StdSocket;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use restante_auth::Secret;
use serde::{Deserialize, Serialize};
use socket2::{Domain, Socket, Type};
use tokio::net::UnixDatagram as Packets;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;
use zeroize::Zeroize;

use super::{Checked, Down, Template, UserName};
use crate::config::{Config, SourceKind, UserSource};

pub use broker::{keep as run_keeper, run as run_broker};
pub use worker::run as run_worker;

/// The largest message between the processes: names and passwords are short.
const MESSAGE_BYTES_MAX: usize = 16 << 10;
/// Longer than a worker may take, so that it is the broker that says so.
const MORE: Duration = Duration::from_secs(2);
/// A name that no user has.
const NOBODY: &str = "nobody-here";

/// A check that a process is asked for.
#[derive(Serialize, Deserialize)]
struct Request {
    /// By which the answer is known.
    id: u64,
    /// The name of the file in /etc/pam.d.
    service: String,
    user: String,
    password: String,
    /// From where.
    rhost: String,
    timeout_ms: u64,
}

impl Drop for Request {
    fn drop(&mut self) {
        self.password.zeroize();
    }
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Outcome {
    Right,
    /// Unknown, or a wrong password: most stacks of modules do not tell.
    Wrong,
    /// Right, but the account is closed, or may not come from there or now.
    Locked,
    /// Right, but too old.
    Expired,
    /// It could not be found out.
    Failed(String),
}

#[derive(Serialize, Deserialize)]
struct Reply {
    id: u64,
    outcome: Outcome,
}

/// The other end of the broker, before there is a runtime.
pub(crate) struct Started(StdSocket);

impl Started {
    /// Starts the broker, if a source needs it.
    pub(crate) fn new(config: &Config) -> io::Result<Option<Started>> {
        let needed = |source: &UserSource| source.source == SourceKind::Pam;
        if !config.users.iter().any(needed) {
            return Ok(None);
        }
        let (ours, theirs) = Socket::pair(Domain::UNIX, Type::SEQPACKET, None)?;
        // It ends when our end is closed.
        Command::new("/proc/self/exe")
            .arg("pam-keeper")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .env_clear()
            .current_dir("/")
            .spawn()?;
        let ours = StdSocket::from(OwnedFd::from(ours));
        ours.set_nonblocking(true)?;
        Ok(Some(Started(ours)))
    }
}

/// The broker, as the server sees it.
pub(crate) struct Broker {
    socket: Arc<Packets>,
    waiting: Arc<Mutex<Waiting>>,
}

#[derive(Default)]
struct Waiting {
    last: u64,
    /// `None`: broker and keeper have ended.
    answers: Option<HashMap<u64, oneshot::Sender<Outcome>>>,
}

impl Broker {
    pub(crate) fn new(Started(socket): Started) -> io::Result<Broker> {
        let socket = Arc::new(Packets::from_std(socket)?);
        let waiting = Arc::new(Mutex::new(Waiting {
            last: 0,
            answers: Some(HashMap::new()),
        }));
        let (answers, read) = (Arc::clone(&waiting), Arc::clone(&socket));
        tokio::spawn(async move {
            let end = listen(&read, &answers).await;
            let reason = end.err().map(|error| error.to_string());
            tracing::error!(reason, "the helpers for PAM have ended: restart the server");
            // Who waits hears of it by that.
            lock(&answers).answers = None;
        });
        Ok(Broker { socket, waiting })
    }

    async fn ask(&self, mut request: Request) -> Result<Outcome, Down> {
        let gone = || Down("the helpers for PAM have ended: restart the server".to_owned());
        let (answer, answered) = oneshot::channel();
        request.id = {
            let mut waiting = lock(&self.waiting);
            waiting.last += 1;
            let id = waiting.last;
            let answers = waiting.answers.as_mut().ok_or_else(gone)?;
            answers.insert(id, answer);
            id
        };
        // Also when nobody waits for the answer any more.
        let forget = Forget(&self.waiting, request.id);
        let message = Secret::new(packet(&request).map_err(|error| Down(error.to_string()))?);
        let sent = self.socket.send(message.expose()).await;
        sent.map_err(|error| Down(error.to_string()))?;
        let outcome = answered.await.map_err(|_| gone());
        drop(forget);
        outcome
    }
}

struct Forget<'w>(&'w Mutex<Waiting>, u64);

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        if let Some(answers) = &mut lock(self.0).answers {
            answers.remove(&self.1);
        }
    }
}

fn lock(waiting: &Mutex<Waiting>) -> std::sync::MutexGuard<'_, Waiting> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn listen(socket: &Packets, waiting: &Mutex<Waiting>) -> io::Result<()> {
    let mut message = vec![0; MESSAGE_BYTES_MAX];
    loop {
        let length = socket.recv(&mut message).await?;
        // Nobody has the other end any more: a message has never no bytes.
        if length == 0 {
            return Ok(());
        }
        let Ok(Reply { id, outcome }) = serde_json::from_slice(&message[..length]) else {
            tracing::error!("the helper for PAM says what is no answer");
            continue;
        };
        let answer = lock(waiting)
            .answers
            .as_mut()
            .and_then(|all| all.remove(&id));
        if let Some(answer) = answer {
            // Who asked may not wait any more.
            let _ = answer.send(outcome);
        }
    }
}

/// A message, as JSON.
fn packet(message: &impl Serialize) -> io::Result<Vec<u8>> {
    // Space for the largest, so that no piece of a password is left behind by growing.
    let mut out = Vec::with_capacity(MESSAGE_BYTES_MAX);
    serde_json::to_writer(&mut out, message)?;
    if out.len() > MESSAGE_BYTES_MAX {
        out.zeroize();
        return Err(io::Error::other("a message that is too long"));
    }
    Ok(out)
}

/// The source.
pub(super) struct Pam {
    broker: Arc<Broker>,
    service: String,
    /// What a user is called there.
    name: Template,
    timeout: Duration,
    running: Semaphore,
}

impl Pam {
    pub(super) fn new(
        configured: &UserSource,
        name: Template,
        broker: Option<&Arc<Broker>>,
    ) -> Result<Pam, String> {
        let broker = broker.ok_or("the first source \"pam\" needs a restart of the server")?;
        Ok(Pam {
            broker: Arc::clone(broker),
            service: configured.service().to_owned(),
            name,
            timeout: configured.timeout(),
            running: Semaphore::new(configured.connections()),
        })
    }

    /// Does the work of a check for nobody.
    pub(super) async fn pretend(&self, password: &Secret<String>) -> Result<(), Down> {
        self.ask(NOBODY.to_owned(), password, None).await.map(drop)
    }

    pub(super) async fn check(
        &self,
        name: UserName<'_>,
        password: &Secret<String>,
        from: Option<IpAddr>,
    ) -> Result<Checked, Down> {
        let user = self.name.plain(name);
        match self.ask(user, password, from).await? {
            Outcome::Right => Ok(Checked::Right(name.full.to_owned())),
            Outcome::Wrong => Ok(Checked::Unknown),
            Outcome::Locked => Ok(Checked::Locked("PAM's account management refuses")),
            Outcome::Expired => Ok(Checked::Expired),
            Outcome::Failed(reason) => Err(Down(reason)),
        }
    }

    async fn ask(
        &self,
        user: String,
        password: &Secret<String>,
        from: Option<IpAddr>,
    ) -> Result<Outcome, Down> {
        let request = Request {
            id: 0,
            service: self.service.clone(),
            user,
            password: password.expose().clone(),
            rhost: from.map(|from| from.to_string()).unwrap_or_default(),
            timeout_ms: self.timeout.as_millis().try_into().unwrap_or(u64::MAX),
        };
        let late = |_| Down(format!("no answer within {:?}", self.timeout));
        let permit = timeout(self.timeout, self.running.acquire()).await;
        let _permit = permit.map_err(late)?;
        let asked = timeout(self.timeout + MORE, self.broker.ask(request));
        asked.await.map_err(late)?
    }
}
