//! Tagged replies, and what an error is to a client.
//!
//! A client gets a fixed sentence and a response code; the log gets the detail. Every error of the
//! layers below is mapped here, in one exhaustive match.

use std::borrow::Cow;
use std::io;

use restante_mailbox::MailError;
use restante_proto::types::{Code, Condition};

/// What a command ends with, without its tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) condition: Condition,
    /// Boxed: some codes are large, and replies are handed through many functions.
    pub(crate) code: Option<Box<Code>>,
    pub(crate) text: Cow<'static, str>,
}

impl Reply {
    /// `OK text`.
    pub(crate) fn ok(text: impl Into<Cow<'static, str>>) -> Reply {
        Reply {
            condition: Condition::Ok,
            code: None,
            text: text.into(),
        }
    }

    /// `NO text`.
    pub(crate) fn no(text: impl Into<Cow<'static, str>>) -> Reply {
        Reply {
            condition: Condition::No,
            code: None,
            text: text.into(),
        }
    }

    /// `BAD text`.
    pub(crate) fn bad(text: impl Into<Cow<'static, str>>) -> Reply {
        Reply {
            condition: Condition::Bad,
            code: None,
            text: text.into(),
        }
    }

    /// `BYE text`, never tagged.
    pub(crate) fn bye(text: impl Into<Cow<'static, str>>) -> Reply {
        Reply {
            condition: Condition::Bye,
            code: None,
            text: text.into(),
        }
    }

    /// The same with a response code.
    pub(crate) fn code(mut self, code: Code) -> Reply {
        self.code = Some(Box::new(code));
        self
    }
}

/// Why a command did not end with OK.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A tagged NO or BAD; the session goes on.
    Reply(Reply),
    /// The mail below said no.
    Mail(MailError),
    /// LOGOUT: an untagged BYE, a tagged OK, the end.
    Logout,
    /// The tagged OK of STARTTLS, then the handshake.
    StartTls(Reply),
    /// The tagged OK of COMPRESS, then compression.
    Compress(Reply),
    /// The tagged OK of UNAUTHENTICATE, then nobody is logged in.
    Unauthenticate(Reply),
    /// A tagged reply, then BYE with this text.
    LastReply(Reply, Cow<'static, str>),
    /// The session ends with BYE.
    Bye(Reply),
    /// The connection is gone.
    Io(io::Error),
}

impl From<Reply> for Failure {
    fn from(reply: Reply) -> Failure {
        Failure::Reply(reply)
    }
}

impl From<MailError> for Failure {
    fn from(error: MailError) -> Failure {
        Failure::Mail(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Io(error)
    }
}

/// What a command's handler returns: the tagged OK (or a NO that is no failure of ours).
pub(crate) type Outcome = Result<Reply, Failure>;

/// A protocol error of the client: `BAD [CLIENTBUG]` (RFC 5530 §3).
pub(crate) fn client_bug(text: impl Into<Cow<'static, str>>) -> Failure {
    Failure::Reply(Reply::bad(text).code(Code::ClientBug))
}

/// The tagged reply for an error of the mail below.
///
/// `creating` says that a missing mailbox is the destination of the command, so that the client
/// may create it and try again (RFC 9051 §7.1 TRYCREATE); see [`try_create`].
pub(crate) fn mail_error(error: &MailError) -> Reply {
    match error {
        MailError::NoSuchUser => Reply::no("No such user").code(Code::NonExistent),
        MailError::UserExists => Reply::no("The user exists already").code(Code::AlreadyExists),
        MailError::NoSuchMailbox => Reply::no("No such mailbox").code(Code::NonExistent),
        MailError::AlreadyExists => {
            Reply::no("The mailbox exists already").code(Code::AlreadyExists)
        }
        MailError::CannotDeleteInbox => Reply::no("INBOX cannot be deleted").code(Code::Cannot),
        MailError::RenameBelowItself => {
            Reply::no("A mailbox cannot be moved below itself").code(Code::Cannot)
        }
        MailError::SpecialUseTaken => {
            Reply::no("Another mailbox has this special use").code(Code::UseAttr)
        }
        MailError::Name(error) => Reply::no(error.to_string()).code(Code::Cannot),
        MailError::Expunged => {
            Reply::no("Some of the messages have been expunged").code(Code::ExpungeIssued)
        }
        MailError::OverQuota => Reply::no("Quota exceeded").code(Code::OverQuota),
        MailError::Limit(limit) => Reply::no(limit.to_string()).code(Code::Limit),
        MailError::Busy | MailError::Conflict => {
            Reply::no("Too many changes at once, try again").code(Code::InUse)
        }
        MailError::Full { .. } => Reply::no("The server has no space left").code(Code::Unavailable),
        MailError::Unavailable { .. } => {
            Reply::no("The mail store does not answer, try again later").code(Code::Unavailable)
        }
        MailError::Unknown { .. } => {
            Reply::no("It is not known whether this was done, look before you try again")
                .code(Code::Unavailable)
        }
        MailError::Damaged { .. } => {
            Reply::no("Data of this mailbox is damaged").code(Code::Corruption)
        }
        MailError::Misuse { .. } => Reply::no("Internal error").code(Code::ServerBug),
        other => {
            tracing::error!(error = %other, "an error without a reply of its own");
            Reply::no("Internal error").code(Code::ServerBug)
        }
    }
}

/// As the error, but a missing mailbox is one that the client could create (RFC 9051 §6.3.12,
/// §6.4.7).
pub(crate) fn try_create(error: impl Into<Failure>) -> Failure {
    match error.into() {
        Failure::Mail(MailError::NoSuchMailbox) => {
            Failure::Reply(Reply::no("No such mailbox").code(Code::TryCreate))
        }
        other => other,
    }
}

/// Whether the log needs to know: an error that is not the client's.
pub(crate) fn is_ours(error: &MailError) -> bool {
    matches!(
        error,
        MailError::Full { .. }
            | MailError::Unavailable { .. }
            | MailError::Unknown { .. }
            | MailError::Damaged { .. }
            | MailError::Misuse { .. }
            | MailError::Conflict
    )
}

#[cfg(test)]
mod tests {
    use restante_mailbox::Limit;

    use super::*;

    /// RFC 5530 §3: what a client can do about each.
    #[test]
    fn every_error_has_its_code() {
        let text = || "x".into();
        for (error, code) in [
            (MailError::NoSuchUser, Code::NonExistent),
            (MailError::UserExists, Code::AlreadyExists),
            (MailError::NoSuchMailbox, Code::NonExistent),
            (MailError::AlreadyExists, Code::AlreadyExists),
            (MailError::CannotDeleteInbox, Code::Cannot),
            (MailError::RenameBelowItself, Code::Cannot),
            (MailError::SpecialUseTaken, Code::UseAttr),
            (MailError::Expunged, Code::ExpungeIssued),
            (MailError::OverQuota, Code::OverQuota),
            (MailError::Limit(Limit::Keywords), Code::Limit),
            (MailError::Busy, Code::InUse),
            (MailError::Conflict, Code::InUse),
            (MailError::Full { reason: text() }, Code::Unavailable),
            (MailError::Unavailable { reason: text() }, Code::Unavailable),
            (MailError::Unknown { reason: text() }, Code::Unavailable),
            (MailError::Damaged { what: text() }, Code::Corruption),
            (MailError::Misuse { what: text() }, Code::ServerBug),
        ] {
            let reply = mail_error(&error);
            assert_eq!(reply.code.as_deref(), Some(&code), "{error:?}");
            // What happened in the store is for the log.
            assert!(
                reply.condition == Condition::No && reply.text != "x",
                "{error:?}"
            );
        }
    }
}
