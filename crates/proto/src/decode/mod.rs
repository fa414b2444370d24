//! Decodes commands: bytes of a whole frame to a typed [`Command`].
//!
//! Hand-written recursive descent over one slice; the ABNF stands above each function. What the
//! field sends and cannot be misunderstood is accepted: any case, spaces at the end of a line, a
//! bare LF after a literal header, odd characters in astrings. Depth and the number of members are
//! bounded by [`DecodeOptions`].

pub(crate) mod append;
mod date;
mod error;
mod extensions;
mod fetch;
mod list;
pub(crate) mod parser;
mod search;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

pub use error::{CommandError, DecodeError, DecodeErrorKind};
use parser::{Parser, Result};

use crate::types::{
    Authenticate, Command, CommandBody, FetchModifiers, MessageSet, Number, NumberSet, QResync,
    Secret, Select, SpecialUse, StatusItem, Store, StoreAction, Tag, UidValidity, is_tag_char,
};

/// How to decode: what the client enabled, and limits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DecodeOptions {
    /// UTF8=ACCEPT or IMAP4rev2 is enabled: mailbox names are UTF-8 and not modified UTF-7
    /// (RFC 6855 §3, RFC 9051 §5.1).
    pub utf8: bool,
    /// How many ranges of sets and members of lists a command may have altogether.
    pub items_max: usize,
    /// How deep search keys may nest. The stack that decoding takes is proportional to it.
    pub depth_max: usize,
}

impl Default for DecodeOptions {
    fn default() -> Self {
        Self {
            utf8: false,
            items_max: 32_768,
            depth_max: 100,
        }
    }
}

/// Decodes a command: a frame as `Framer` gives it, literals inside and
/// without the last line end.
///
/// # Errors
///
/// What is wrong and where, with the tag if there is one. APPEND and REPLACE are an error: the
/// framer decodes them.
pub fn decode(frame: &[u8], options: &DecodeOptions) -> std::result::Result<Command, CommandError> {
    let mut parser = Parser::new(frame, options);
    let tag = match tag(&mut parser) {
        Ok(tag) => tag,
        Err(error) => {
            return Err(CommandError {
                tag: tag_of(frame),
                error,
            });
        }
    };
    let error = match body(&mut parser) {
        Ok(body) => match parser.end() {
            Ok(()) => {
                return Ok(Command {
                    tag,
                    body,
                    utf8_quoted: parser.utf8_quoted,
                });
            }
            Err(error) => error,
        },
        Err(error) => error,
    };
    Err(CommandError {
        tag: Some(tag),
        error,
    })
}

/// The tag of a command that cannot be decoded, if it begins with one.
pub fn tag_of(frame: &[u8]) -> Option<Tag> {
    let len = frame
        .iter()
        .position(|b| !is_tag_char(*b))
        .unwrap_or(frame.len());
    match frame.get(len) {
        None | Some(b' ' | b'\r' | b'\n') if len <= TAG_BYTES_MAX => {
            Tag::new(std::str::from_utf8(&frame[..len]).ok()?)
        }
        _ => None,
    }
}

/// Longer tags are refused: they would be echoed.
const TAG_BYTES_MAX: usize = 128;

/// `tag = 1*<any ASTRING-CHAR except "+">`, and the space after it.
pub(crate) fn tag(parser: &mut Parser<'_>) -> Result<Tag> {
    let tag = parser.tag_text();
    if tag.len() > TAG_BYTES_MAX {
        return parser.fail(DecodeErrorKind::Limit, "tag too long");
    }
    let Some(tag) = std::str::from_utf8(tag).ok().and_then(Tag::new) else {
        return parser.syntax("expected a tag");
    };
    parser.expect(b' ', "expected a command after the tag")?;
    Ok(tag)
}

/// What SASL asked for (RFC 9051 §6.2.2).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SaslLine {
    /// `*`: the client gives up.
    Cancel,
    /// The response, decoded.
    Data(Secret<Vec<u8>>),
}

/// Decodes a line of an authentication exchange; `None` if it is not base64.
pub fn sasl_line(line: &[u8]) -> Option<SaslLine> {
    if line == b"*" {
        return Some(SaslLine::Cancel);
    }
    STANDARD
        .decode(line)
        .ok()
        .map(|data| SaslLine::Data(Secret::new(data)))
}

/// ```abnf
/// command = tag SP (command-any / command-auth / command-nonauth / command-select) CRLF
/// ```
fn body(p: &mut Parser<'_>) -> Result<CommandBody> {
    let start = p.position();
    let word = p.word();
    match word.as_bytes() {
        b"UID" => {
            p.space()?;
            uid(p)
        }
        b"FETCH" => fetch(p, seq),
        b"NOOP" => Ok(CommandBody::Noop),
        b"IDLE" => Ok(CommandBody::Idle),
        b"STORE" => store(p, seq),
        b"SEARCH" => search::search(p, false),
        b"SELECT" => select(p, false),
        b"EXAMINE" => select(p, true),
        b"STATUS" => status(p),
        b"LIST" => list::list(p),
        b"LSUB" => list::lsub(p),
        b"XLIST" => list::xlist(p),
        b"RLIST" => list::rlist(p),
        b"RLSUB" => list::rlsub(p),
        b"COPY" => copy(p, seq),
        b"MOVE" => move_(p, seq),
        b"CLOSE" => Ok(CommandBody::Close),
        b"UNSELECT" => Ok(CommandBody::Unselect),
        b"EXPUNGE" => Ok(CommandBody::Expunge(None)),
        b"CHECK" => Ok(CommandBody::Check),
        b"CAPABILITY" => Ok(CommandBody::Capability),
        b"LOGOUT" => Ok(CommandBody::Logout),
        b"STARTTLS" => Ok(CommandBody::StartTls),
        b"LOGIN" => login(p),
        b"AUTHENTICATE" => authenticate(p),
        b"ENABLE" => enable(p),
        b"ID" => extensions::id(p),
        b"NAMESPACE" => Ok(CommandBody::Namespace),
        b"CREATE" => create(p),
        b"DELETE" => mailbox_argument(p).map(CommandBody::Delete),
        b"RENAME" => rename(p),
        b"SUBSCRIBE" => mailbox_argument(p).map(CommandBody::Subscribe),
        b"UNSUBSCRIBE" => mailbox_argument(p).map(CommandBody::Unsubscribe),
        b"APPEND" | b"REPLACE" => {
            // The framer takes these; one that comes here has no message.
            p.syntax("expected a message literal")
        }
        _ => match extensions::command(word.as_bytes(), p)? {
            Some(body) => Ok(body),
            None => {
                p.rewind(start);
                p.fail(DecodeErrorKind::UnknownCommand, "unknown command")
            }
        },
    }
}

/// ```abnf
/// uid         = "UID" SP (copy / move / fetch / search / store / uid-expunge)
/// uid         =/ "UID" SP (sort / thread / replace)
/// uid-expunge = "EXPUNGE" SP sequence-set
/// ```
fn uid(p: &mut Parser<'_>) -> Result<CommandBody> {
    let start = p.position();
    match p.word().as_bytes() {
        b"FETCH" => fetch(p, uids),
        b"STORE" => store(p, uids),
        b"SEARCH" => search::search(p, true),
        b"COPY" => copy(p, uids),
        b"MOVE" => move_(p, uids),
        b"EXPUNGE" => {
            p.space()?;
            p.set().map(|set| CommandBody::Expunge(Some(set)))
        }
        b"SORT" => search::sort(p, true),
        b"THREAD" => search::thread(p, true),
        // So it stands in the examples of RFC 7377 §2; the answer is in UIDs in any case.
        b"ESEARCH" => extensions::esearch(p),
        b"REPLACE" => p.syntax("expected a message literal"),
        _ => {
            p.rewind(start);
            p.fail(DecodeErrorKind::UnknownCommand, "unknown UID command")
        }
    }
}

type SetReader = fn(&mut Parser<'_>) -> Result<MessageSet>;

fn seq(p: &mut Parser<'_>) -> Result<MessageSet> {
    p.set().map(MessageSet::Seq)
}

fn uids(p: &mut Parser<'_>) -> Result<MessageSet> {
    p.set().map(MessageSet::Uid)
}

fn mailbox_argument(p: &mut Parser<'_>) -> Result<crate::types::MailboxName> {
    p.space()?;
    p.mailbox()
}

/// ```abnf
/// login = "LOGIN" SP userid SP password
/// ```
fn login(p: &mut Parser<'_>) -> Result<CommandBody> {
    p.space()?;
    let user = p.astring_owned()?;
    p.space()?;
    let password = Secret::new(p.astring_owned()?);
    Ok(CommandBody::Login { user, password })
}

/// ```abnf
/// authenticate = "AUTHENTICATE" SP auth-type [SP initial-resp]
/// initial-resp = (base64 / "=")
/// ```
fn authenticate(p: &mut Parser<'_>) -> Result<CommandBody> {
    p.space()?;
    let mechanism = p.atom()?;
    let mut initial_response = None;
    if !p.only_spaces_left() {
        p.space()?;
        let text = p.base64_text();
        let decoded = if text == b"=" {
            Ok(Vec::new())
        } else {
            STANDARD.decode(text)
        };
        match decoded {
            Ok(data) if !text.is_empty() => initial_response = Some(Secret::new(data)),
            _ => return p.syntax("initial response is not base64"),
        }
    }
    Ok(CommandBody::Authenticate(Authenticate {
        mechanism,
        initial_response,
    }))
}

/// ```abnf
/// enable = "ENABLE" 1*(SP capability)
/// ```
fn enable(p: &mut Parser<'_>) -> Result<CommandBody> {
    p.space()?;
    p.until_end(Parser::atom).map(CommandBody::Enable)
}

/// ```abnf
/// select        = "SELECT" SP mailbox [select-params]
/// select-params = SP "(" select-param *(SP select-param) ")"       ; RFC 4466
/// select-param  =/ condstore-param                                 ; "CONDSTORE", RFC 7162
/// select-param  =/ "QRESYNC" SP "(" uidvalidity SP mod-sequence-value
///                  [SP known-uids] [SP seq-match-data] ")"
/// ```
fn select(p: &mut Parser<'_>, read_only: bool) -> Result<CommandBody> {
    let mailbox = mailbox_argument(p)?;
    let mut select = Select {
        mailbox,
        read_only,
        condstore: false,
        qresync: None,
    };
    if !p.only_spaces_left() {
        p.space()?;
        p.list(true, |p| match p.word().as_bytes() {
            b"CONDSTORE" => {
                select.condstore = true;
                Ok(())
            }
            b"QRESYNC" => {
                p.space()?;
                once(p, &mut select.qresync, qresync)
            }
            _ => p.syntax("unknown SELECT parameter"),
        })?;
    }
    Ok(CommandBody::Select(select))
}

/// The value of a parameter that may be given once (RFC 7162 §7).
fn once<T>(
    p: &mut Parser<'_>,
    value: &mut Option<T>,
    read: impl FnOnce(&mut Parser<'_>) -> Result<T>,
) -> Result<()> {
    match value.replace(read(p)?) {
        Some(_) => p.syntax("a parameter is given twice"),
        None => Ok(()),
    }
}

/// ```abnf
/// seq-match-data = "(" known-sequence-set SP known-uid-set ")"     ; RFC 7162 §7
/// ```
fn qresync(p: &mut Parser<'_>) -> Result<QResync> {
    p.open()?;
    let uid_validity = UidValidity(p.nz_number()?);
    p.space()?;
    let mod_seq = p.mod_seq()?;
    let (mut known_uids, mut known_match) = (None, None);
    if p.eat(b' ') {
        if p.peek() != Some(b'(') {
            known_uids = Some(p.plain_set()?);
        }
        if known_uids.is_none() || p.eat(b' ') {
            p.open()?;
            let numbers = p.plain_set()?;
            p.space()?;
            known_match = Some((numbers, p.plain_set()?));
            p.close()?;
        }
    }
    p.close()?;
    Ok(QResync {
        uid_validity,
        mod_seq,
        known_uids,
        known_match,
    })
}

/// ```abnf
/// create       = "CREATE" SP mailbox [create-params]
/// create-param =/ "USE" SP "(" [use-attr *(SP use-attr)] ")"       ; RFC 6154 §6
/// ```
fn create(p: &mut Parser<'_>) -> Result<CommandBody> {
    let mailbox = mailbox_argument(p)?;
    let mut special_use = None;
    if !p.only_spaces_left() {
        p.space()?;
        p.list(false, |p| {
            if !p.eat_word(b"USE") {
                return p.syntax("unknown CREATE parameter");
            }
            p.space()?;
            match special_use.replace(p.list(true, use_attribute)?) {
                None => Ok(()),
                Some(_) => p.syntax("USE is told twice"),
            }
        })?;
    }
    Ok(CommandBody::Create {
        mailbox,
        special_use: special_use.unwrap_or_default(),
    })
}

fn use_attribute(p: &mut Parser<'_>) -> Result<SpecialUse> {
    let flag = p.flag()?;
    match SpecialUse::from_name(&flag.to_string()) {
        Some(special_use) => Ok(special_use),
        None => p.fail(DecodeErrorKind::SpecialUse, "unknown special use"),
    }
}

/// ```abnf
/// rename = "RENAME" SP mailbox SP mailbox
/// ```
fn rename(p: &mut Parser<'_>) -> Result<CommandBody> {
    let from = mailbox_argument(p)?;
    let to = mailbox_argument(p)?;
    Ok(CommandBody::Rename { from, to })
}

/// ```abnf
/// status = "STATUS" SP mailbox SP "(" status-att *(SP status-att) ")"
/// ```
fn status(p: &mut Parser<'_>) -> Result<CommandBody> {
    let mailbox = mailbox_argument(p)?;
    p.space()?;
    let items = status_items(p)?;
    Ok(CommandBody::Status { mailbox, items })
}

/// ```abnf
/// "(" status-att *(SP status-att) ")"
/// ```
/// What is asked for twice is told once.
pub(crate) fn status_items(p: &mut Parser<'_>) -> Result<Vec<StatusItem>> {
    let mut items: Vec<StatusItem> = Vec::new();
    p.list(false, |p| {
        let item = status_item(p)?;
        if !items.contains(&item) {
            items.push(item);
        }
        Ok(())
    })?;
    Ok(items)
}

/// ```abnf
/// status-att =  "MESSAGES" / "UIDNEXT" / "UIDVALIDITY" / "UNSEEN" / "DELETED" / "SIZE"
/// status-att =/ "RECENT" / "HIGHESTMODSEQ" / "APPENDLIMIT" / "MAILBOXID" / "DELETED-STORAGE"
/// ```
fn status_item(p: &mut Parser<'_>) -> Result<StatusItem> {
    let word = p.word();
    let found = StatusItem::ALL
        .into_iter()
        .find(|i| i.name().as_bytes() == word.as_bytes());
    found.map_or_else(|| p.syntax("unknown status item"), Ok)
}

/// ```abnf
/// copy = "COPY" SP sequence-set SP mailbox
/// ```
fn copy(p: &mut Parser<'_>, set: SetReader) -> Result<CommandBody> {
    p.space()?;
    let set = set(p)?;
    Ok(CommandBody::Copy {
        set,
        mailbox: mailbox_argument(p)?,
    })
}

/// ```abnf
/// move = "MOVE" SP sequence-set SP mailbox
/// ```
fn move_(p: &mut Parser<'_>, set: SetReader) -> Result<CommandBody> {
    p.space()?;
    let set = set(p)?;
    Ok(CommandBody::Move {
        set,
        mailbox: mailbox_argument(p)?,
    })
}

/// ```abnf
/// fetch          = "FETCH" SP sequence-set SP
///                  ("ALL" / "FULL" / "FAST" / fetch-att / "(" fetch-att *(SP fetch-att) ")")
///                  [fetch-modifiers]
/// fetch-modifier = "CHANGEDSINCE" SP mod-sequence-value / "VANISHED"      ; RFC 7162 §7
/// fetch-modifier =/ modifier-partial                                      ; RFC 9394 §4
/// ```
///
/// RFC 9394 §3.3 speaks of UID FETCH only; its grammar gives the modifier to FETCH too, as other servers do.
fn fetch(p: &mut Parser<'_>, set: SetReader) -> Result<CommandBody> {
    p.space()?;
    let set = set(p)?;
    p.space()?;
    let attributes = fetch::attributes(p)?;
    let mut modifiers = FetchModifiers::default();
    if !p.only_spaces_left() {
        p.space()?;
        p.list(true, |p| match p.word().as_bytes() {
            b"CHANGEDSINCE" => {
                p.space()?;
                once(p, &mut modifiers.changed_since, |p| p.mod_seq())
            }
            b"VANISHED" => {
                modifiers.vanished = true;
                Ok(())
            }
            b"PARTIAL" => {
                p.space()?;
                once(p, &mut modifiers.partial, search::partial_range)
            }
            _ => p.syntax("unknown FETCH modifier"),
        })?;
        // RFC 7162 §3.2.6
        if modifiers.vanished && !(set.is_uid() && modifiers.changed_since.is_some()) {
            return p.syntax("VANISHED needs UID FETCH and CHANGEDSINCE");
        }
    }
    Ok(CommandBody::Fetch(crate::types::Fetch {
        set,
        attributes,
        modifiers,
    }))
}

/// ```abnf
/// store           = "STORE" SP sequence-set [store-modifiers] SP store-att-flags
/// store-att-flags = (["+" / "-"] "FLAGS" [".SILENT"]) SP (flag-list / (flag *(SP flag)))
/// store-modifier  =/ "UNCHANGEDSINCE" SP mod-sequence-valzer              ; RFC 7162 §7
/// ```
fn store(p: &mut Parser<'_>, set: SetReader) -> Result<CommandBody> {
    p.space()?;
    let set = set(p)?;
    p.space()?;
    let mut unchanged_since = None;
    if p.peek() == Some(b'(') {
        p.list(true, |p| {
            if !p.eat_word(b"UNCHANGEDSINCE") {
                return p.syntax("unknown STORE modifier");
            }
            p.space()?;
            once(p, &mut unchanged_since, |p| p.mod_seq())
        })?;
        p.space()?;
    }
    let (action, silent) = match p.word().as_bytes() {
        b"FLAGS" => (StoreAction::Replace, false),
        b"FLAGS.SILENT" => (StoreAction::Replace, true),
        b"+FLAGS" => (StoreAction::Add, false),
        b"+FLAGS.SILENT" => (StoreAction::Add, true),
        b"-FLAGS" => (StoreAction::Remove, false),
        b"-FLAGS.SILENT" => (StoreAction::Remove, true),
        _ => return p.syntax("expected FLAGS, +FLAGS or -FLAGS"),
    };
    p.space()?;
    let flags = if p.peek() == Some(b'(') {
        p.flag_list()?
    } else {
        p.until_end(Parser::flag)?
    };
    Ok(CommandBody::Store(Store {
        set,
        unchanged_since,
        action,
        silent,
        flags,
    }))
}

/// `search-key *(SP search-key)` outside of a command, such as a filter's value (RFC 5466 §4).
///
/// # Errors
///
/// If `text` is not that, or has too much of it.
pub fn search_criteria(
    text: &[u8],
    options: &DecodeOptions,
) -> std::result::Result<crate::types::SearchKey, DecodeError> {
    let mut p = Parser::new(text, options);
    let key = search::keys(&mut p)?;
    p.end()?;
    Ok(key)
}

/// A set of either kind, for tests and other callers outside of a command.
///
/// # Errors
///
/// If `text` is not a set or has too many ranges.
pub fn decode_set<N: Number>(
    text: &[u8],
    options: &DecodeOptions,
) -> std::result::Result<NumberSet<N>, DecodeError> {
    let mut p = Parser::new(text, options);
    let set = p.set()?;
    p.end()?;
    Ok(set)
}
