//! What can go wrong between a client and a server.

use restante_proto::client::{CommandEncodeError, ResponseDecodeError, ResponseFrameError};
use restante_proto::types::Code;
use thiserror::Error;

/// An error of this crate, by what it means for the connection.
#[derive(Debug, Error)]
pub enum Error {
    /// The server refused the command (NO). The connection is usable.
    #[error("the server refused {}: {}", .0.command, .0.text)]
    No(Box<Refusal>),
    /// The server did not understand the command, or not in this state (BAD). The connection is
    /// usable.
    #[error("the server rejected {}: {}", .0.command, .0.text)]
    Bad(Box<Refusal>),
    /// The command cannot be written. Nothing was sent.
    #[error("the command cannot be sent")]
    Encode(#[from] CommandEncodeError),
    /// The server ended the connection with BYE.
    #[error("the server said BYE: {text}")]
    Bye {
        /// The response code.
        code: Option<Code>,
        /// Its text.
        text: String,
    },
    /// The connection ended.
    #[error("the connection was closed")]
    Closed,
    /// Reading or writing failed.
    #[error("the connection failed")]
    Io(#[from] std::io::Error),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
    /// The exchange of a SASL mechanism could not go on: the server cannot be trusted, or what was to
    /// be sent cannot be. It was cancelled; the connection is usable.
    #[error("the login was given up")]
    Sasl(#[from] restante_auth::sasl::client::ClientError),
    /// The server sent more than a limit allows.
    #[error("the server's responses cannot be taken apart")]
    Frame(#[from] ResponseFrameError),
    /// The server sent what is no response.
    #[error("the server sent what cannot be understood")]
    Decode(#[from] ResponseDecodeError),
    /// The server did something that the protocol does not allow.
    #[error("the server broke the protocol: {0}")]
    Protocol(&'static str),
    /// The caller did something that cannot be done.
    #[error("{0}")]
    Misuse(&'static str),
}

/// A tagged NO or BAD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The name of the command.
    pub command: &'static str,
    /// The response code.
    pub code: Option<Code>,
    /// Text for people.
    pub text: String,
}

impl Error {
    /// The response code of a NO, BAD or BYE.
    pub fn code(&self) -> Option<&Code> {
        match self {
            Self::No(refusal) | Self::Bad(refusal) => refusal.code.as_ref(),
            Self::Bye { code, .. } => code.as_ref(),
            _ => None,
        }
    }

    /// Whether the connection can be used further: the server answered, with a refusal.
    pub fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::No(_) | Self::Bad(_) | Self::Encode(_) | Self::Misuse(_) | Self::Sasl(_)
        )
    }
}

/// A result with an [`Error`].
pub type Result<T> = std::result::Result<T, Error>;
