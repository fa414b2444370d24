//! Replies: code, enhanced code (RFC 3463), text.

use restante_mailbox::{Limit, MailError};

/// A reply of one line. The text is ours: nothing from a client or a disk is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) code: u16,
    /// Empty: a reply that has no enhanced code (RFC 2034 §4: 3xx and the greeting).
    pub(super) enhanced: &'static str,
    pub(super) text: &'static str,
}

const fn reply(code: u16, enhanced: &'static str, text: &'static str) -> Reply {
    Reply {
        code,
        enhanced,
        text,
    }
}

pub(super) const OK: Reply = reply(250, "2.0.0", "Ok");
pub(super) const SENDER_OK: Reply = reply(250, "2.1.0", "Sender ok");
pub(super) const RECIPIENT_OK: Reply = reply(250, "2.1.5", "Recipient ok");
pub(super) const SAVED: Reply = reply(250, "2.0.0", "Saved");
pub(super) const CHUNK_OK: Reply = reply(250, "2.0.0", "Chunk received");
pub(super) const BYE: Reply = reply(221, "2.0.0", "Bye");
pub(super) const CANNOT_VERIFY: Reply = reply(
    252,
    "2.5.0",
    "Cannot verify, but will accept mail for those who are here",
);
pub(super) const HELP: Reply = reply(214, "2.0.0", "See RFC 2033");
pub(super) const START_DATA: Reply = reply(354, "", "End with <CRLF>.<CRLF>");

pub(super) const SHUTTING_DOWN: Reply = reply(421, "4.3.2", "Shutting down, try again");
pub(super) const TIMEOUT: Reply = reply(421, "4.4.2", "Silent for too long");
pub(super) const TOO_MANY_ERRORS: Reply = reply(421, "4.7.0", "Too many errors");
pub(super) const TOO_MANY_RECIPIENTS: Reply = reply(452, "4.5.3", "Too many recipients");

pub(super) const UNKNOWN: Reply = reply(500, "5.5.2", "Command not recognized");
pub(super) const LINE_TOO_LONG: Reply = reply(500, "5.5.6", "Line too long");
pub(super) const USE_LHLO: Reply = reply(500, "5.5.1", "This is LMTP: use LHLO");
pub(super) const NOT_OFFERED: Reply = reply(502, "5.5.1", "Command not implemented");
pub(super) const LHLO_FIRST: Reply = reply(503, "5.5.1", "LHLO first");
pub(super) const MAIL_FIRST: Reply = reply(503, "5.5.1", "MAIL first");
pub(super) const MAIL_GIVEN: Reply = reply(503, "5.5.1", "Sender already given");
pub(super) const NO_RECIPIENTS: Reply = reply(503, "5.5.1", "No valid recipients");
pub(super) const DATA_OR_BDAT: Reply = reply(503, "5.5.1", "BDAT and DATA do not mix");
pub(super) const BAD_PARAMETER: Reply = reply(555, "5.5.4", "Parameter not recognized");
/// For MAIL, and for RCPT (RFC 6531 §3.5).
pub(super) const SENDER_NEEDS_SMTPUTF8: Reply =
    reply(550, "5.6.7", "An address that is not ASCII needs SMTPUTF8");
pub(super) const NEEDS_SMTPUTF8: Reply =
    reply(553, "5.6.7", "An address that is not ASCII needs SMTPUTF8");
pub(super) const NO_SUCH_USER: Reply = reply(550, "5.1.1", "No such user here");
pub(super) const TOO_LARGE: Reply = reply(552, "5.3.4", "Message too large");
pub(super) const OVER_QUOTA: Reply = reply(552, "5.2.2", "Mailbox is full");

const FULL: Reply = reply(452, "4.3.1", "Out of space, try again later");
const BUSY: Reply = reply(451, "4.3.2", "Busy, try again");
const UNAVAILABLE: Reply = reply(451, "4.3.0", "Temporary failure, try again");
const UNKNOWN_OUTCOME: Reply = reply(451, "4.3.0", "Outcome unknown, try again");
const TROUBLE: Reply = reply(451, "4.3.5", "Trouble on this server, try again later");
const MAILBOX_TROUBLE: Reply = reply(451, "4.2.0", "Trouble with this mailbox, try again later");

impl Reply {
    /// Appends the reply as one line.
    pub(super) fn write(self, out: &mut Vec<u8>) {
        self.write_with(out, "");
    }

    /// Appends the reply with the recipient it is about, which has no control characters. One that is not
    /// ASCII may not be told (RFC 6531 §3.7.4.2).
    pub(super) fn write_with(self, out: &mut Vec<u8>, about: &str) {
        out.extend_from_slice(self.code.to_string().as_bytes());
        out.push(b' ');
        if !self.enhanced.is_empty() {
            out.extend_from_slice(self.enhanced.as_bytes());
            out.push(b' ');
        }
        if !about.is_empty() && about.is_ascii() {
            out.push(b'<');
            out.extend_from_slice(about.as_bytes());
            out.extend_from_slice(b"> ");
        }
        out.extend_from_slice(self.text.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

/// What a sender is told about a failure. Only what trying again cannot mend is final; above all, an
/// unknown outcome is not.
pub(super) fn of_error(error: &MailError) -> Reply {
    match error {
        MailError::NoSuchUser => NO_SUCH_USER,
        MailError::OverQuota => OVER_QUOTA,
        MailError::Limit(Limit::MessageBytes) => TOO_LARGE,
        MailError::Limit(_) | MailError::NoSuchMailbox | MailError::Damaged { .. } => {
            MAILBOX_TROUBLE
        }
        MailError::Full { .. } => FULL,
        MailError::Busy | MailError::Conflict => BUSY,
        MailError::Unavailable { .. } => UNAVAILABLE,
        MailError::Unknown { .. } => UNKNOWN_OUTCOME,
        _ => TROUBLE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_outcome_is_temporary() {
        let reply = of_error(&MailError::Unknown { reason: "x".into() });
        assert_eq!((reply.code, reply.enhanced), (451, "4.3.0"));
        assert_eq!(of_error(&MailError::Full { reason: "x".into() }).code, 452);
        assert_eq!(of_error(&MailError::OverQuota).enhanced, "5.2.2");
    }

    /// RFC 2034 §4.
    #[test]
    fn reply_codes_agree() {
        let all = [
            OK,
            SENDER_OK,
            RECIPIENT_OK,
            SAVED,
            CHUNK_OK,
            BYE,
            CANNOT_VERIFY,
            HELP,
            SHUTTING_DOWN,
            TIMEOUT,
            TOO_MANY_ERRORS,
            TOO_MANY_RECIPIENTS,
            UNKNOWN,
            LINE_TOO_LONG,
            USE_LHLO,
            NOT_OFFERED,
            LHLO_FIRST,
            MAIL_FIRST,
            MAIL_GIVEN,
            NO_RECIPIENTS,
            DATA_OR_BDAT,
            BAD_PARAMETER,
            SENDER_NEEDS_SMTPUTF8,
            NEEDS_SMTPUTF8,
            NO_SUCH_USER,
            TOO_LARGE,
            OVER_QUOTA,
            FULL,
            BUSY,
            UNAVAILABLE,
            UNKNOWN_OUTCOME,
            TROUBLE,
            MAILBOX_TROUBLE,
        ];
        for reply in all {
            let class = format!("{}.", reply.code / 100);
            assert!(reply.enhanced.starts_with(&class), "{reply:?}");
        }
        assert_eq!((START_DATA.code, START_DATA.enhanced), (354, ""));
    }

    #[test]
    fn lines() {
        let mut out = Vec::new();
        SAVED.write_with(&mut out, "ada@example.org");
        START_DATA.write(&mut out);
        assert_eq!(
            out,
            b"250 2.0.0 <ada@example.org> Saved\r\n354 End with <CRLF>.<CRLF>\r\n"
        );
    }
}
