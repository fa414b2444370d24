//! The command line's side: through the socket if a server runs, otherwise on the store itself.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use restante_mailbox::{Mail, MailError};
use restante_store::OpenError;
use thiserror::Error;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use super::{LINE_BYTES_MAX, socket_path};
use crate::admin::{self, Reply, Request};
use crate::config::Config;
use crate::storage::{self, StorageError};

/// Why a request had no answer.
#[derive(Debug, Error)]
pub enum AdminError {
    /// There is no data directory yet.
    #[error(
        "{}: there is no data directory; name it with --data or --config, or start the server once",
        .0.display()
    )]
    NoData(PathBuf),
    /// A server holds the data directory and does not answer on its socket.
    #[error(
        "{}: a server uses this data directory but does not answer on its control socket (is it \
         just starting or stopping?); try again", .0.display()
    )]
    Unreachable(PathBuf),
    /// The socket is there and belongs to somebody else.
    #[error("{}: {source} (run this as the user the server runs as)", path.display())]
    Socket {
        /// The socket.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The data directory cannot be opened.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The server went away, or does not speak our language.
    #[error("the server did not answer: {0}")]
    NoAnswer(String),
    /// The request was refused.
    #[error("{0}")]
    Refused(String),
}

/// Answers requests, wherever the data is.
#[derive(Debug)]
pub struct Admin(Way);

#[derive(Debug)]
enum Way {
    Server(BufReader<UnixStream>),
    Store(Arc<Mail>),
}

impl Admin {
    /// Connects to the server that uses the configured data directory; if none does, opens the
    /// store.
    ///
    /// # Errors
    /// See [`AdminError`].
    pub async fn open(config: &Config) -> Result<Admin, AdminError> {
        let data = config.data_dir();
        if let Some(server) = Admin::connect(&data).await? {
            return Ok(server);
        }
        // A directory that nobody named is not made by a command that was run somewhere else.
        if config.server.data.as_os_str().is_empty() && !data.exists() {
            return Err(AdminError::NoData(data));
        }
        match storage::open(config).await {
            Ok(mail) => Ok(Admin(Way::Store(mail))),
            Err(StorageError::Open(OpenError::InUse { .. })) => {
                // It may have begun to listen in this moment.
                Admin::connect(&data)
                    .await?
                    .ok_or(AdminError::Unreachable(data))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Connects to a running server, or `None` if none listens.
    ///
    /// # Errors
    /// The socket is there and cannot be used.
    pub async fn connect(data: &Path) -> Result<Option<Admin>, AdminError> {
        let found = match socket_path(data) {
            Ok((path, _dir)) => UnixStream::connect(&path).await,
            Err(error) => Err(error),
        };
        match found {
            Ok(stream) => Ok(Some(Admin(Way::Server(BufReader::new(stream))))),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
                ) =>
            {
                Ok(None)
            }
            Err(source) => Err(AdminError::Socket {
                path: data.join(super::SOCKET),
                source,
            }),
        }
    }

    /// The store, if it was opened here and no server runs.
    pub fn store(&self) -> Option<&Arc<Mail>> {
        match &self.0 {
            Way::Server(_) => None,
            Way::Store(mail) => Some(mail),
        }
    }

    /// Sends a request and waits for its reply, which is never [`Reply::Error`].
    ///
    /// # Errors
    /// [`AdminError::Refused`] says what the reply said.
    pub async fn call(&mut self, request: Request) -> Result<Reply, AdminError> {
        self.call_with(request, &[]).await.map(|(reply, _)| reply)
    }

    /// As [`Admin::call`], with the bytes that follow the request, and those that follow the reply.
    ///
    /// # Errors
    /// As [`Admin::call`].
    pub async fn call_with(
        &mut self,
        request: Request,
        mut payload: &[u8],
    ) -> Result<(Reply, Bytes), AdminError> {
        if request.payload_bytes() != payload.len() as u64 {
            return Err(AdminError::Refused("sizes that do not add up".to_owned()));
        }
        let (reply, bytes) = match &mut self.0 {
            Way::Server(stream) => exchange(stream, &request, payload)
                .await
                .map_err(|error| AdminError::NoAnswer(error.to_string()))?,
            Way::Store(mail) => admin::perform(mail, None, request, &mut payload).await,
        };
        match reply {
            Reply::Error { text } => Err(AdminError::Refused(text)),
            reply => Ok((reply, bytes)),
        }
    }

    /// Closes the store, if it was opened here.
    pub async fn close(self) {
        if let Way::Store(mail) = self.0 {
            mail.store().close().await;
        }
    }
}

async fn exchange(
    stream: &mut BufReader<UnixStream>,
    request: &Request,
    payload: &[u8],
) -> io::Result<(Reply, Bytes)> {
    let mut line = serde_json::to_vec(request).map_err(io::Error::other)?;
    line.push(b'\n');
    stream.get_mut().write_all(&line).await?;
    stream.get_mut().write_all(payload).await?;
    line.clear();
    (&mut *stream)
        .take(LINE_BYTES_MAX as u64)
        .read_until(b'\n', &mut line)
        .await?;
    if !line.ends_with(b"\n") {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let reply: Reply = serde_json::from_slice(&line).map_err(io::Error::other)?;
    let mut bytes = Vec::new();
    stream
        .take(reply.payload_bytes())
        .read_to_end(&mut bytes)
        .await?;
    Ok((reply, bytes.into()))
}

impl From<MailError> for AdminError {
    fn from(error: MailError) -> AdminError {
        AdminError::Refused(error.to_string())
    }
}
