//! Writes commands.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::encode_search as search;
use super::out::{CommandEncodeError, CommandEncoding, EncodedCommand, Out, Result};
use crate::types::{
    Command, CommandBody, DateTime, Fetch, FetchAttribute, Flag, GetMetadata, IdParameters, List,
    MailboxName, MessageSet, MetadataDepth, MetadataEntry, Notify, NotifyEvent, NotifyEvents,
    PartialRange, ReplaceTarget, RightsChange, Section, SectionPart, SectionText, Select, SetAcl,
    SetEnd, SetQuota, Store, StoreAction, Tag, UrlData,
};

/// Writes a whole command with its CRLF.
///
/// # Errors
/// Something in it has no form on the wire: an empty set, a NUL octet in a string.
pub fn encode_command(
    command: &Command,
    encoding: CommandEncoding,
) -> std::result::Result<EncodedCommand, CommandEncodeError> {
    let mut out = Out::new(encoding);
    out.raw(command.tag.as_str());
    out.raw(" ");
    out.raw(command.body.name());
    arguments(&mut out, &command.body)?;
    out.raw("\r\n");
    Ok(out.command)
}

/// What is said of one message before its literal in an APPEND or REPLACE.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AppendMessage {
    /// Flags of the new message.
    pub flags: Vec<Flag>,
    /// Internal date of the new message; the server's time if there is none.
    pub internal_date: Option<DateTime>,
    /// Octets of the message.
    pub size: u64,
    /// Send as `~{…}`, which may hold NUL (BINARY, IMAP4rev2).
    pub literal8: bool,
    /// Send as `UTF8 (~{…})`: headers in UTF-8 (UTF8=ACCEPT, RFC 9755 §4).
    pub utf8: bool,
}

/// A part of a message that the server puts together (CATENATE, RFC 4469 §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Catenated<'a> {
    /// What an IMAP URL stands for (RFC 5092): `/INBOX;UIDVALIDITY=1/;UID=20/;SECTION=1`, say.
    Url(&'a str),
    /// These octets.
    Text(&'a [u8]),
}

/// Writes APPEND, MULTIAPPEND and REPLACE around their messages, which the caller sends.
///
/// ```
/// use restante_proto::client::{AppendEncoder, AppendMessage, CommandEncoding};
/// use restante_proto::types::{MailboxName, Tag};
///
/// let tag = Tag::new("a1").unwrap();
/// let mut append =
///     AppendEncoder::append(&tag, &MailboxName::inbox(), CommandEncoding::default()).unwrap();
/// let head = append.message(&AppendMessage { size: 3, ..AppendMessage::default() });
/// assert_eq!(head.segments, [b"a1 APPEND INBOX {3}\r\n"]);
/// assert!(head.wait_after_last);
/// // Wait for the continuation request, send the 3 octets, then perhaps another message.
/// assert_eq!(append.finish(), b"\r\n");
/// ```
#[derive(Debug)]
pub struct AppendEncoder {
    encoding: CommandEncoding,
    /// What was written and not yet handed out.
    pending: EncodedCommand,
    utf8: bool,
}

impl AppendEncoder {
    /// Begins an APPEND.
    ///
    /// # Errors
    /// The mailbox name has no form on the wire.
    pub fn append(
        tag: &Tag,
        mailbox: &MailboxName,
        encoding: CommandEncoding,
    ) -> std::result::Result<Self, CommandEncodeError> {
        let mut out = Out::new(encoding);
        out.raw(tag.as_str());
        out.raw(" APPEND");
        out.sp_mailbox(mailbox)?;
        Ok(Self {
            encoding,
            pending: out.command,
            utf8: false,
        })
    }

    /// Begins a REPLACE or UID REPLACE (RFC 8508). One message follows.
    ///
    /// # Errors
    /// The mailbox name has no form on the wire.
    pub fn replace(
        tag: &Tag,
        target: ReplaceTarget,
        mailbox: &MailboxName,
        encoding: CommandEncoding,
    ) -> std::result::Result<Self, CommandEncodeError> {
        let mut out = Out::new(encoding);
        out.raw(tag.as_str());
        let number = match target {
            ReplaceTarget::Seq(SetEnd::Number(seq)) => Some(seq.get()),
            ReplaceTarget::Uid(SetEnd::Number(uid)) => Some(uid.get()),
            ReplaceTarget::Seq(SetEnd::Star) | ReplaceTarget::Uid(SetEnd::Star) => None,
        };
        let uid = matches!(target, ReplaceTarget::Uid(_));
        out.raw(if uid { " UID REPLACE " } else { " REPLACE " });
        match number {
            Some(number) => out.number(u64::from(number)),
            None => out.raw("*"),
        }
        out.sp_mailbox(mailbox)?;
        Ok(Self {
            encoding,
            pending: out.command,
            utf8: false,
        })
    }

    /// A message that the server puts together of parts (RFC 4469 §3).
    ///
    /// # Errors
    /// There are no parts; a part has NUL.
    pub fn catenate(
        &mut self,
        flags: &[Flag],
        internal_date: Option<DateTime>,
        parts: &[Catenated<'_>],
    ) -> std::result::Result<EncodedCommand, CommandEncodeError> {
        if parts.is_empty() {
            return Err(CommandEncodeError::Empty("the parts of a message"));
        }
        let mut out = self.options(flags, internal_date);
        out.raw(" CATENATE ");
        out.list(parts, |out, part| match part {
            Catenated::Url(url) => {
                out.raw("URL");
                out.sp_astring(url.as_bytes())
            }
            Catenated::Text(text) => {
                out.raw("TEXT ");
                out.literal(text, false)
            }
        })?;
        self.utf8 = false;
        Ok(out.command)
    }

    /// What stands before a message: its flags and its date.
    fn options(&mut self, named: &[Flag], internal_date: Option<DateTime>) -> Out {
        let command = std::mem::take(&mut self.pending);
        let mut out = Out {
            command,
            encoding: self.encoding,
        };
        if self.utf8 {
            out.raw(")");
        }
        if !named.is_empty() {
            out.raw(" ");
            flags(&mut out, named);
        }
        if let Some(date) = internal_date {
            let mut text = Vec::new();
            date.write(&mut text);
            out.raw(" ");
            out.raw(text);
        }
        out
    }

    /// What to send before the octets of a message.
    pub fn message(&mut self, message: &AppendMessage) -> EncodedCommand {
        let mut out = self.options(&message.flags, message.internal_date);
        out.raw(if message.utf8 { " UTF8 (" } else { " " });
        out.literal_header(message.size, message.literal8 || message.utf8);
        self.utf8 = message.utf8;
        out.command
    }

    /// What to send after the octets of the last message.
    pub fn finish(self) -> &'static [u8] {
        if self.utf8 { b")\r\n" } else { b"\r\n" }
    }
}

fn arguments(out: &mut Out, body: &CommandBody) -> Result {
    use CommandBody as C;
    match body {
        C::Capability
        | C::Noop
        | C::Logout
        | C::StartTls
        | C::Namespace
        | C::Idle
        | C::Close
        | C::Unselect
        | C::Expunge(None)
        | C::Check
        | C::Unauthenticate
        | C::GetJmapAccess => {}
        C::Id(parameters) => id(out, parameters)?,
        C::Authenticate(authenticate) => {
            out.raw(" ");
            out.raw(authenticate.mechanism.as_str());
            match &authenticate.initial_response {
                None => {}
                Some(response) if response.expose().is_empty() => out.raw(" ="),
                Some(response) => {
                    out.raw(" ");
                    out.raw(STANDARD.encode(response.expose()));
                }
            }
        }
        C::Login { user, password } => {
            out.sp_astring(user)?;
            out.sp_astring(password.expose())?;
        }
        C::Enable(capabilities) => {
            for capability in capabilities {
                out.raw(" ");
                out.raw(capability.as_str());
            }
        }
        C::Select(arguments) => select(out, arguments)?,
        C::Create {
            mailbox,
            special_use,
        } => {
            out.sp_mailbox(mailbox)?;
            if !special_use.is_empty() {
                out.raw(" (USE ");
                out.list(special_use, |out, special_use| {
                    out.raw(special_use.name());
                    Ok(())
                })?;
                out.raw(")");
            }
        }
        C::Delete(mailbox)
        | C::Subscribe(mailbox)
        | C::Unsubscribe(mailbox)
        | C::GetQuotaRoot(mailbox)
        | C::GetAcl(mailbox)
        | C::MyRights(mailbox) => out.sp_mailbox(mailbox)?,
        C::Rename { from, to } => {
            out.sp_mailbox(from)?;
            out.sp_mailbox(to)?;
        }
        C::List(arguments) => list(out, arguments)?,
        C::Lsub { reference, pattern }
        | C::Xlist { reference, pattern }
        | C::Rlist { reference, pattern }
        | C::Rlsub { reference, pattern } => {
            out.raw(" ");
            out.name(reference, false)?;
            out.raw(" ");
            out.name(&pattern.0, true)?;
        }
        C::Status { mailbox, items } => {
            out.sp_mailbox(mailbox)?;
            out.raw(" ");
            out.list(items, |out, item| {
                out.raw(item.name());
                Ok(())
            })?;
        }
        C::Expunge(Some(uids)) => {
            out.raw(" ");
            out.set(uids)?;
        }
        C::Search(arguments) => search::search(out, arguments)?,
        C::Fetch(arguments) => fetch(out, arguments)?,
        C::Store(arguments) => store(out, arguments)?,
        C::Copy { set, mailbox } | C::Move { set, mailbox } => {
            message_set(out, set)?;
            out.sp_mailbox(mailbox)?;
        }
        C::CompressDeflate => out.raw(" DEFLATE"),
        C::Sort(arguments) => search::sort(out, arguments)?,
        C::Thread(arguments) => search::thread(out, arguments)?,
        C::Esearch(arguments) => search::esearch(out, arguments)?,
        C::Notify(arguments) => notify(out, arguments)?,
        C::CancelUpdate(tags) => {
            for tag in tags {
                out.raw(" ");
                out.quoted(tag);
            }
        }
        C::GetQuota(root) => out.sp_astring(root)?,
        C::SetQuota(arguments) => set_quota(out, arguments)?,
        C::SetAcl(arguments) => set_acl(out, arguments)?,
        C::DeleteAcl {
            mailbox,
            identifier,
        }
        | C::ListRights {
            mailbox,
            identifier,
        } => {
            out.sp_mailbox(mailbox)?;
            out.sp_astring(identifier)?;
        }
        C::GetMetadata(arguments) => get_metadata(out, arguments)?,
        C::SetMetadata { mailbox, entries } => set_metadata(out, mailbox, entries)?,
        C::UidBatches { size, batches } => {
            out.raw(" ");
            out.number(u64::from(size.get()));
            if let Some((first, last)) = batches {
                out.raw(format!(" {first}:{last}"));
            }
        }
        C::Language(words) | C::Comparator(words) => {
            for word in words {
                out.sp_astring(word)?;
            }
        }
        C::UrlFetch(urls) => {
            for fetch in urls {
                if !fetch.is_extended() {
                    out.sp_astring(&fetch.url)?;
                    continue;
                }
                out.raw(" (");
                out.astring(&fetch.url)?;
                if fetch.structure {
                    out.raw(" BODYPARTSTRUCTURE");
                }
                match fetch.data {
                    Some(UrlData::Body) => out.raw(" BODY"),
                    Some(UrlData::Binary) => out.raw(" BINARY"),
                    None => {}
                }
                out.raw(")");
            }
        }
        C::GenUrlAuth(pairs) => {
            for (url, mechanism) in pairs {
                out.sp_astring(url)?;
                out.raw(" ");
                out.raw(mechanism.as_str());
            }
        }
        C::ResetKey {
            mailbox,
            mechanisms,
        } => {
            if let Some(mailbox) = mailbox {
                out.sp_mailbox(mailbox)?;
            }
            for mechanism in mechanisms {
                out.raw(" ");
                out.raw(mechanism.as_str());
            }
        }
    }
    Ok(())
}

fn id(out: &mut Out, parameters: &IdParameters) -> Result {
    out.raw(" ");
    let Some(parameters) = parameters else {
        out.raw("NIL");
        return Ok(());
    };
    out.list(parameters, |out, (name, value)| {
        out.string(name)?;
        out.raw(" ");
        out.nstring(value.as_deref(), false)
    })
}

fn select(out: &mut Out, select: &Select) -> Result {
    out.sp_mailbox(&select.mailbox)?;
    let mut open = " (";
    if select.condstore {
        out.raw(open);
        out.raw("CONDSTORE");
        open = " ";
    }
    if let Some(qresync) = &select.qresync {
        out.raw(open);
        out.raw(format!(
            "QRESYNC ({} {}",
            qresync.uid_validity, qresync.mod_seq
        ));
        if let Some(uids) = &qresync.known_uids {
            out.raw(" ");
            out.set(uids)?;
        }
        if let Some((seqs, uids)) = &qresync.known_match {
            out.raw(" (");
            out.set(seqs)?;
            out.raw(" ");
            out.set(uids)?;
            out.raw(")");
        }
        out.raw(")");
        open = " ";
    }
    if open == " " {
        out.raw(")");
    }
    Ok(())
}

fn list(out: &mut Out, list: &List) -> Result {
    if let Some(select) = &list.select {
        let options = [
            (select.subscribed, "SUBSCRIBED"),
            (select.remote, "REMOTE"),
            (select.special_use, "SPECIAL-USE"),
            (select.recursive_match, "RECURSIVEMATCH"),
        ];
        out.raw(" ");
        words(out, &options)?;
    }
    out.raw(" ");
    out.name(&list.reference, false)?;
    out.raw(" ");
    if list.pattern_list {
        out.list(&list.patterns, |out, pattern| out.name(&pattern.0, true))?;
    } else {
        let Some(pattern) = list.patterns.first() else {
            return Err(CommandEncodeError::Empty("the patterns of LIST"));
        };
        out.name(&pattern.0, true)?;
    }
    let Some(returns) = &list.returns else {
        return Ok(());
    };
    out.raw(" RETURN (");
    let mut first = true;
    let mut option = |out: &mut Out, word: &str| {
        out.raw(if first { "" } else { " " });
        out.raw(word);
        first = false;
    };
    for (set, word) in [
        (returns.subscribed, "SUBSCRIBED"),
        (returns.children, "CHILDREN"),
        (returns.special_use, "SPECIAL-USE"),
        (returns.my_rights, "MYRIGHTS"),
    ] {
        if set {
            option(out, word);
        }
    }
    if !returns.status.is_empty() {
        option(out, "STATUS ");
        out.list(&returns.status, |out, item| {
            out.raw(item.name());
            Ok(())
        })?;
    }
    if !returns.metadata.is_empty() {
        option(out, "METADATA ");
        out.list(&returns.metadata, |out, entry| out.astring(entry))?;
    }
    out.raw(")");
    Ok(())
}

/// A list of those words whose flag is set.
pub(super) fn words(out: &mut Out, words: &[(bool, &str)]) -> Result {
    out.list(words.iter().filter(|(set, _)| *set), |out, (_, word)| {
        out.raw(word);
        Ok(())
    })
}

pub(super) fn message_set(out: &mut Out, set: &MessageSet) -> Result {
    out.raw(" ");
    match set {
        MessageSet::Seq(set) => out.set(set),
        MessageSet::Uid(set) => out.set(set),
    }
}

fn flags(out: &mut Out, flags: &[Flag]) {
    let mut text = vec![b'('];
    for (i, flag) in flags.iter().enumerate() {
        if i > 0 {
            text.push(b' ');
        }
        flag.write(&mut text);
    }
    text.push(b')');
    out.raw(text);
}

fn fetch(out: &mut Out, fetch: &Fetch) -> Result {
    message_set(out, &fetch.set)?;
    out.raw(" ");
    match &fetch.attributes[..] {
        [] => return Err(CommandEncodeError::Empty("the attributes of FETCH")),
        [one] => fetch_attribute(out, one)?,
        many => out.list(many, fetch_attribute)?,
    }
    let modifiers = &fetch.modifiers;
    let mut open = " (";
    if let Some(mod_seq) = modifiers.changed_since {
        out.raw(format!("{open}CHANGEDSINCE {mod_seq}"));
        open = " ";
    }
    if modifiers.vanished {
        out.raw(open);
        out.raw("VANISHED");
        open = " ";
    }
    if let Some(range) = modifiers.partial {
        out.raw(open);
        out.raw("PARTIAL ");
        partial_range(out, range);
        open = " ";
    }
    if open == " " {
        out.raw(")");
    }
    Ok(())
}

pub(super) fn partial_range(out: &mut Out, range: PartialRange) {
    match range {
        PartialRange::First(a, b) => out.raw(format!("{a}:{b}")),
        PartialRange::Last(a, b) => out.raw(format!("-{a}:-{b}")),
    }
}

pub(super) fn fetch_attribute(out: &mut Out, attribute: &FetchAttribute) -> Result {
    use FetchAttribute as A;
    out.raw(match attribute {
        A::Envelope => "ENVELOPE",
        A::Flags => "FLAGS",
        A::InternalDate => "INTERNALDATE",
        A::Rfc822Size => "RFC822.SIZE",
        A::Rfc822 => "RFC822",
        A::Rfc822Peek => "RFC822.PEEK",
        A::Rfc822Header => "RFC822.HEADER",
        A::Rfc822Text => "RFC822.TEXT",
        A::Body => "BODY",
        A::BodyStructure => "BODYSTRUCTURE",
        A::Uid => "UID",
        A::Section { peek: false, .. } => "BODY",
        A::Section { peek: true, .. } => "BODY.PEEK",
        A::Binary { peek: false, .. } => "BINARY",
        A::Binary { peek: true, .. } => "BINARY.PEEK",
        A::BinarySize(_) => "BINARY.SIZE",
        A::ModSeq => "MODSEQ",
        A::EmailId => "EMAILID",
        A::ThreadId => "THREADID",
        A::SaveDate => "SAVEDATE",
        A::Preview { lazy: false } => "PREVIEW",
        A::Preview { lazy: true } => "PREVIEW (LAZY)",
    });
    match attribute {
        A::Section { section, .. } => body_section(out, section)?,
        A::Binary { part, .. } | A::BinarySize(part) => {
            out.raw("[");
            section_part(out, part);
            out.raw("]");
        }
        _ => {}
    }
    if let A::Section {
        partial: Some(partial),
        ..
    }
    | A::Binary {
        partial: Some(partial),
        ..
    } = attribute
    {
        out.raw(format!("<{}.{}>", partial.offset, partial.length));
    }
    Ok(())
}

fn section_part(out: &mut Out, part: &SectionPart) {
    for (i, number) in part.iter().enumerate() {
        out.raw(if i > 0 { "." } else { "" });
        out.number(u64::from(number.get()));
    }
}

fn body_section(out: &mut Out, section: &Section) -> Result {
    out.raw("[");
    section_part(out, &section.part);
    if !section.part.is_empty() && section.text.is_some() {
        out.raw(".");
    }
    match &section.text {
        None => {}
        Some(SectionText::Header) => out.raw("HEADER"),
        Some(SectionText::Text) => out.raw("TEXT"),
        Some(SectionText::Mime) => out.raw("MIME"),
        Some(SectionText::HeaderFields { names, not }) => {
            if names.is_empty() {
                return Err(CommandEncodeError::Empty("the names of HEADER.FIELDS"));
            }
            out.raw(if *not {
                "HEADER.FIELDS.NOT "
            } else {
                "HEADER.FIELDS "
            });
            out.list(names, |out, name| out.astring(name))?;
        }
    }
    out.raw("]");
    Ok(())
}

fn store(out: &mut Out, store: &Store) -> Result {
    message_set(out, &store.set)?;
    if let Some(mod_seq) = store.unchanged_since {
        out.raw(format!(" (UNCHANGEDSINCE {mod_seq})"));
    }
    out.raw(match store.action {
        StoreAction::Replace => " FLAGS",
        StoreAction::Add => " +FLAGS",
        StoreAction::Remove => " -FLAGS",
    });
    out.raw(if store.silent { ".SILENT " } else { " " });
    flags(out, &store.flags);
    Ok(())
}

/// RFC 5465 §8
fn notify(out: &mut Out, notify: &Notify) -> Result {
    let (status, groups) = match notify {
        Notify::None => {
            out.raw(" NONE");
            return Ok(());
        }
        Notify::Set { status, groups } => (*status, groups),
    };
    out.raw(if status { " SET STATUS" } else { " SET" });
    for group in groups {
        out.raw(" (");
        search::mailbox_filter(out, &group.mailboxes)?;
        match &group.events {
            NotifyEvents::None => out.raw(" NONE"),
            NotifyEvents::Events(events) => {
                out.raw(" ");
                out.list(events, |out, event| {
                    match event {
                        NotifyEvent::Named(name) => out.raw(name.name()),
                        NotifyEvent::Other(name) => out.raw(name.as_str()),
                        NotifyEvent::MessageNew(attributes) => {
                            out.raw("MessageNew");
                            if !attributes.is_empty() {
                                out.raw(" ");
                                out.list(attributes, fetch_attribute)?;
                            }
                        }
                    }
                    Ok(())
                })?;
            }
        }
        out.raw(")");
    }
    Ok(())
}

fn set_quota(out: &mut Out, set_quota: &SetQuota) -> Result {
    out.sp_astring(&set_quota.root)?;
    out.raw(" ");
    out.list(&set_quota.limits, |out, (resource, limit)| {
        out.atom_or_string(resource.name())?;
        out.raw(" ");
        out.number(*limit);
        Ok(())
    })
}

fn set_acl(out: &mut Out, set_acl: &SetAcl) -> Result {
    out.sp_mailbox(&set_acl.mailbox)?;
    out.sp_astring(&set_acl.identifier)?;
    let sign: &[u8] = match set_acl.change {
        RightsChange::Add => b"+",
        RightsChange::Remove => b"-",
        RightsChange::Replace => b"",
    };
    out.sp_astring(&[sign, &set_acl.rights].concat())
}

/// `"GETMETADATA" [SP getmetadata-options] SP mailbox SP entries` (RFC 5464 §5)
fn get_metadata(out: &mut Out, get: &GetMetadata) -> Result {
    let depth = match get.depth {
        MetadataDepth::Zero => "",
        MetadataDepth::One => "DEPTH 1",
        MetadataDepth::Infinity => "DEPTH infinity",
    };
    match (get.max_size, depth) {
        (None, "") => {}
        (None, depth) => out.raw(format!(" ({depth})")),
        (Some(size), "") => out.raw(format!(" (MAXSIZE {size})")),
        (Some(size), depth) => out.raw(format!(" (MAXSIZE {size} {depth})")),
    }
    out.sp_mailbox(&get.mailbox)?;
    out.raw(" ");
    match &get.entries[..] {
        [] => Err(CommandEncodeError::Empty("the entries of GETMETADATA")),
        [one] => out.astring(one),
        many => out.list(many, |out, entry| out.astring(entry)),
    }
}

fn set_metadata(out: &mut Out, mailbox: &MailboxName, entries: &[MetadataEntry]) -> Result {
    out.sp_mailbox(mailbox)?;
    out.raw(" ");
    out.list(entries, |out, entry| {
        out.astring(&entry.name)?;
        out.raw(" ");
        out.nstring(entry.value.as_deref(), true)
    })
}
