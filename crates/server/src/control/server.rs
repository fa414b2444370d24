//! The server's side of the control socket.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use restante_mailbox::Mail;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};

use super::{LINE_BYTES_MAX, SOCKET, socket_path};
use crate::admin::{self, Reply, Request};
use crate::gate::Watch;
use crate::net::Admission;
use crate::run::ReloadAsked;

/// The listening socket; its file is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct ControlServer {
    listener: UnixListener,
    path: PathBuf,
}

/// Listens on the data directory's socket. The store's lock must be held: it proves that a socket
/// that is there belongs to nobody.
pub(crate) fn listen(data: &Path) -> io::Result<ControlServer> {
    let (path, dir) = socket_path(data)?;
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // The data directory is 0700: nobody else can connect in the moment before the mode is set.
    let listener = UnixListener::bind(&path)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
    drop(dir);
    Ok(ControlServer {
        listener,
        path: data.join(SOCKET),
    })
}

impl ControlServer {
    /// Serves requests until the future is dropped.
    pub(crate) async fn run(
        &self,
        mail: Arc<Mail>,
        admission: Admission,
        watch: Arc<Watch>,
        reload: mpsc::Sender<ReloadAsked>,
    ) {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let (mail, admission) = (Arc::clone(&mail), admission.clone());
                    let (watch, reload) = (Arc::clone(&watch), reload.clone());
                    tokio::spawn(async move {
                        let served = connection(stream, &mail, &admission, &watch, &reload).await;
                        if let Err(error) = served {
                            tracing::debug!(%error, "control connection lost");
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "the control socket cannot accept");
                    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
                }
            }
        }
    }
}

impl Drop for ControlServer {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

async fn connection(
    stream: UnixStream,
    mail: &Mail,
    admission: &Admission,
    watch: &Watch,
    reload: &mpsc::Sender<ReloadAsked>,
) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = Vec::new();
    loop {
        line.clear();
        let limit = LINE_BYTES_MAX as u64 + 1;
        let read = (&mut stream)
            .take(limit)
            .read_until(b'\n', &mut line)
            .await?;
        if read == 0 {
            return Ok(());
        }
        let too_long = read > LINE_BYTES_MAX;
        let mut bytes = Bytes::new();
        let mut reply = if too_long {
            Reply::Error {
                text: "request too long".to_owned(),
            }
        } else {
            match serde_json::from_slice::<Request>(&line) {
                Ok(Request::Reload {}) => ask(reload).await,
                Ok(request) => {
                    log(&request);
                    let mut payload = (&mut stream).take(request.payload_bytes());
                    let reply;
                    (reply, bytes) = admin::perform(mail, Some(watch), request, &mut payload).await;
                    // What was not looked at is no request.
                    tokio::io::copy(&mut payload, &mut tokio::io::sink()).await?;
                    reply
                }
                // The parser's words are about the shape, not the values.
                Err(error) => Reply::Error {
                    text: format!("not a request: {error}"),
                },
            }
        };
        if let Reply::Status { connections, .. } = &mut reply {
            *connections = admission.connections();
        }
        let mut text = serde_json::to_vec(&reply).map_err(io::Error::other)?;
        text.push(b'\n');
        stream.get_mut().write_all(&text).await?;
        stream.get_mut().write_all(&bytes).await?;
        if too_long {
            return Ok(());
        }
    }
}

/// Has the configuration read again.
async fn ask(reload: &mpsc::Sender<ReloadAsked>) -> Reply {
    let (answer, outcome) = oneshot::channel();
    let asked = reload.send(answer).await.is_ok();
    match outcome.await {
        Ok(Ok(text)) if asked => Reply::Reloaded { text },
        Ok(Err(text)) => Reply::Error { text },
        _ => Reply::Error {
            text: "the server is going down".to_owned(),
        },
    }
}

/// Changes are logged, without hashes.
fn log(request: &Request) {
    match request {
        Request::UsersAdd { users, .. } => match users.as_slice() {
            [only] => tracing::info!(user = %only.name, "control: add user"),
            many => tracing::info!(users = many.len(), "control: add users"),
        },
        Request::UserPassword { name, .. } => tracing::info!(user = %name, "control: set password"),
        Request::UserQuota { name, limits } => {
            tracing::info!(user = %name, ?limits, "control: set quota");
        }
        Request::UserHide { name, words } => {
            tracing::info!(user = %name, ?words, "control: hide capabilities");
        }
        Request::UserDisabled { name, disabled } => {
            tracing::info!(user = %name, disabled, "control: set disabled");
        }
        Request::UserRemove { name } => tracing::info!(user = %name, "control: remove user"),
        Request::MailboxOpen { user, mailbox, .. } => {
            tracing::info!(%user, %mailbox, "control: import");
        }
        Request::Backup { to } => tracing::info!(to = %to.display(), "control: backup"),
        Request::Check { deep, .. } => tracing::info!(deep, "control: check"),
        Request::Mailboxes { user } => tracing::info!(%user, "control: list mailboxes"),
        Request::Undelete { user, mailbox, .. } => {
            tracing::info!(%user, %mailbox, "control: undelete messages");
        }
        Request::UndeleteMailbox { user, was, name } => {
            tracing::info!(%user, %was, %name, "control: undelete mailbox");
        }
        Request::Purge { user, reason, .. } => match reason {
            Some(_) => tracing::info!(%user, "control: purge"),
            None => tracing::info!(%user, "control: look for messages to purge"),
        },
        Request::Tombstones { user } => tracing::info!(%user, "control: list what was purged"),
        Request::Deleted { user } | Request::Expunged { user, .. } => {
            tracing::info!(%user, "control: list what was deleted");
        }
        Request::AppPasswordAdd { name, .. } => {
            tracing::info!(user = %name, "control: add app password");
        }
        Request::AppPasswordRevoke { name, id } => {
            tracing::info!(user = %name, id, "control: revoke app password");
        }
        Request::ThrottleClear { user, address } => {
            tracing::info!(?user, ?address, "control: forget failed logins");
        }
        Request::Acl {
            user,
            change: Some(change),
        } => tracing::info!(
            %user,
            mailbox = %change.mailbox,
            identifier = %change.identifier,
            rights = %change.rights,
            "control: change rights"
        ),
        Request::Acl { .. }
        | Request::Status {}
        | Request::Logins { .. }
        | Request::AppPasswords { .. }
        | Request::Throttled {}
        | Request::Reload {}
        | Request::Users { .. }
        | Request::User { .. }
        | Request::Messages { .. }
        | Request::Read { .. }
        | Request::Append { .. } => {}
    }
}
