//! Response codes (RFC 9051 §7.1).

use super::Writer;
use crate::types::{Code, MetadataCode, PermanentFlag};

impl Writer<'_> {
    /// Appends a response code in its brackets.
    pub fn code(&mut self, code: &Code) {
        self.raw(b"[");
        self.code_text(code);
        self.raw(b"]");
    }

    fn code_text(&mut self, code: &Code) {
        if let Some(name) = plain_name(code) {
            return self.raw(name.as_bytes());
        }
        match code {
            Code::AppendUid { uid_validity, uids } => {
                self.named_number("APPENDUID ", uid_validity.get().into());
                self.space();
                self.set(uids);
            }
            Code::BadCharset(charsets) => {
                self.raw(b"BADCHARSET");
                if !charsets.is_empty() {
                    self.space();
                    self.list(charsets, |w, charset| w.astring(charset.as_bytes()));
                }
            }
            Code::Capability(capabilities) => {
                self.raw(b"CAPABILITY");
                for capability in capabilities {
                    self.space();
                    self.raw(capability.as_bytes());
                }
            }
            Code::CopyUid(copied) => {
                self.named_number("COPYUID ", copied.uid_validity.get().into());
                self.space();
                self.set(&copied.source);
                self.space();
                self.set(&copied.destination);
            }
            Code::PermanentFlags(flags) => {
                self.raw(b"PERMANENTFLAGS ");
                self.list(flags, |w, flag| match flag {
                    PermanentFlag::Flag(flag) => flag.write(w.out),
                    PermanentFlag::Wildcard => w.raw(b"\\*"),
                });
            }
            Code::UidNext(uid) => self.named_number("UIDNEXT ", uid.get().into()),
            Code::UidValidity(n) => self.named_number("UIDVALIDITY ", n.get().into()),
            Code::Unseen(seq) => self.named_number("UNSEEN ", seq.get().into()),
            Code::HighestModSeq(mod_seq) => self.named_number("HIGHESTMODSEQ ", mod_seq.get()),
            Code::Modified(set) => {
                self.raw(b"MODIFIED ");
                self.set(set);
            }
            Code::MailboxId(id) => {
                self.raw(b"MAILBOXID (");
                self.raw(id.as_str().as_bytes());
                self.raw(b")");
            }
            Code::BadUrl(url) => {
                // Not a string: url-resp-text ends at the bracket (RFC 4469 §5).
                self.raw(b"BADURL ");
                let fits = |byte: &&u8| !b"]\\\r\n\0".contains(byte);
                let url: Vec<u8> = url.iter().filter(fits).copied().collect();
                self.raw(&url);
            }
            Code::NoUpdate(tag) => self.named_string("NOUPDATE ", tag),
            Code::UndefinedFilter(name) => {
                self.raw(b"UNDEFINED-FILTER ");
                self.astring(name);
            }
            Code::Metadata(code) => match code {
                MetadataCode::LongEntries(n) => self.named_number("METADATA LONGENTRIES ", *n),
                MetadataCode::MaxSize(n) => self.named_number("METADATA MAXSIZE ", *n),
                MetadataCode::TooMany => self.raw(b"METADATA TOOMANY"),
                MetadataCode::NoPrivate => self.raw(b"METADATA NOPRIVATE"),
            },
            Code::BadEvent(events) => {
                self.raw(b"BADEVENT ");
                self.list(events, |w, event| w.raw(event.name().as_bytes()));
            }
            Code::UrlMech(mechanisms) => {
                self.raw(b"URLMECH INTERNAL");
                for mechanism in mechanisms {
                    self.space();
                    self.raw(mechanism.mechanism.as_str().as_bytes());
                    if let Some(data) = &mechanism.data {
                        self.raw(b"=");
                        self.raw(data);
                    }
                }
            }
            Code::InProgress(progress) => {
                self.raw(b"INPROGRESS");
                if let Some((tag, done, goal)) = progress {
                    self.raw(b" (");
                    // RFC 9585 §4: a tag with "]" must be NIL.
                    match tag
                        .as_ref()
                        .map(|tag| tag.as_str())
                        .filter(|tag| !tag.contains(']'))
                    {
                        Some(tag) => self.string(tag.as_bytes()),
                        None => self.raw(b"NIL"),
                    }
                    for n in [done, goal] {
                        self.space();
                        match n {
                            Some(n) => self.number((*n).into()),
                            None => self.raw(b"NIL"),
                        }
                    }
                    self.raw(b")");
                }
            }
            Code::MessageLimit { limit, lowest } => {
                self.named_number("MESSAGELIMIT ", limit.get().into());
                if let Some(uid) = lowest {
                    self.space();
                    self.number(uid.get().into());
                }
            }
            Code::Referral(url) => {
                self.raw(b"REFERRAL ");
                self.raw(url);
            }
            Code::Other(name, rest) => {
                self.raw(name.as_str().as_bytes());
                if let Some(rest) = rest {
                    self.space();
                    self.raw(rest);
                }
            }
            // `plain_name` knows all others.
            _ => {}
        }
    }

    fn named_number(&mut self, name: &str, n: u64) {
        self.raw(name.as_bytes());
        self.number(n);
    }

    fn named_string(&mut self, name: &str, text: &[u8]) {
        self.raw(name.as_bytes());
        self.string(text);
    }
}

/// The name of a code that has nothing but its name.
fn plain_name(code: &Code) -> Option<&'static str> {
    Some(match code {
        Code::Alert => "ALERT",
        Code::AlreadyExists => "ALREADYEXISTS",
        Code::AuthenticationFailed => "AUTHENTICATIONFAILED",
        Code::AuthorizationFailed => "AUTHORIZATIONFAILED",
        Code::Cannot => "CANNOT",
        Code::ClientBug => "CLIENTBUG",
        Code::Closed => "CLOSED",
        Code::ContactAdmin => "CONTACTADMIN",
        Code::Corruption => "CORRUPTION",
        Code::Expired => "EXPIRED",
        Code::ExpungeIssued => "EXPUNGEISSUED",
        Code::HasChildren => "HASCHILDREN",
        Code::InUse => "INUSE",
        Code::Limit => "LIMIT",
        Code::NonExistent => "NONEXISTENT",
        Code::NoPerm => "NOPERM",
        Code::NotSaved => "NOTSAVED",
        Code::OverQuota => "OVERQUOTA",
        Code::Parse => "PARSE",
        Code::PrivacyRequired => "PRIVACYREQUIRED",
        Code::ReadOnly => "READ-ONLY",
        Code::ReadWrite => "READ-WRITE",
        Code::ServerBug => "SERVERBUG",
        Code::TryCreate => "TRYCREATE",
        Code::UidNotSticky => "UIDNOTSTICKY",
        Code::Unavailable => "UNAVAILABLE",
        Code::UnknownCte => "UNKNOWN-CTE",
        Code::NoModSeq => "NOMODSEQ",
        Code::UseAttr => "USEATTR",
        Code::TooBig => "TOOBIG",
        Code::CompressionActive => "COMPRESSIONACTIVE",
        Code::BadComparator => "BADCOMPARATOR",
        Code::NotificationOverflow => "NOTIFICATIONOVERFLOW",
        Code::UidRequired => "UIDREQUIRED",
        Code::TooFew => "TOOFEW",
        Code::TooMany => "TOOMANY",
        Code::AppendUid { .. }
        | Code::BadCharset(_)
        | Code::Capability(_)
        | Code::CopyUid(_)
        | Code::PermanentFlags(_)
        | Code::UidNext(_)
        | Code::UidValidity(_)
        | Code::Unseen(_)
        | Code::HighestModSeq(_)
        | Code::Modified(_)
        | Code::MailboxId(_)
        | Code::BadUrl(_)
        | Code::NoUpdate(_)
        | Code::Metadata(_)
        | Code::BadEvent(_)
        | Code::UndefinedFilter(_)
        | Code::UrlMech(_)
        | Code::InProgress(_)
        | Code::MessageLimit { .. }
        | Code::Referral(_)
        | Code::Other(..) => return None,
    })
}
