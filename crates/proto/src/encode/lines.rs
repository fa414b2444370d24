//! Untagged data (RFC 9051 §7.2 to §7.5, and the extensions).

use super::Writer;
use crate::types::{
    AclEntry, ChildInfo, FetchedUrl, Flag, ListAttribute, ListEntry, ListExtended, MailboxName,
    MetadataEntry, NamespaceEntry, Namespaces, Number, QuotaLimit, SeqNum, StatusValue, Tag, Uid,
    UrlContent, UrlData,
};

impl Writer<'_> {
    fn words<T: AsRef<[u8]>>(&mut self, name: &[u8], words: impl IntoIterator<Item = T>) {
        self.raw(name);
        for word in words {
            self.space();
            self.raw(word.as_ref());
        }
        self.end_line();
    }

    fn astrings<T: AsRef<[u8]>>(&mut self, strings: impl IntoIterator<Item = T>) {
        for string in strings {
            self.space();
            self.astring(string.as_ref());
        }
    }

    fn counted(&mut self, n: u32, name: &[u8]) {
        self.raw(b"* ");
        self.number(n.into());
        self.raw(name);
    }

    /// Appends CAPABILITY.
    pub fn capability<T: AsRef<[u8]>>(&mut self, capabilities: impl IntoIterator<Item = T>) {
        self.words(b"* CAPABILITY", capabilities);
    }

    /// Appends ENABLED.
    pub fn enabled<T: AsRef<[u8]>>(&mut self, capabilities: impl IntoIterator<Item = T>) {
        self.words(b"* ENABLED", capabilities);
    }

    /// Appends ID (RFC 2971 §3.2); no fields are NIL.
    pub fn id<'f>(&mut self, fields: impl IntoIterator<Item = (&'f [u8], Option<&'f [u8]>)>) {
        self.raw(b"* ID ");
        let mut separator = b'(';
        for (field, value) in fields {
            self.out.push(separator);
            self.string(field);
            self.space();
            self.nstring(value);
            separator = b' ';
        }
        self.raw(if separator == b'(' { b"NIL" } else { b")" });
        self.end_line();
    }

    /// Appends FLAGS.
    pub fn flags<'f>(&mut self, flags: impl IntoIterator<Item = &'f Flag>) {
        self.raw(b"* FLAGS ");
        self.list(flags, |w, flag| flag.write(w.out));
        self.end_line();
    }

    /// Appends EXISTS.
    pub fn exists(&mut self, n: u32) {
        self.counted(n, b" EXISTS\r\n");
    }

    /// Appends RECENT (RFC 3501 §7.3.2).
    pub fn recent(&mut self, n: u32) {
        self.counted(n, b" RECENT\r\n");
    }

    /// Appends EXPUNGE.
    pub fn expunge(&mut self, seq: SeqNum) {
        self.counted(seq.get(), b" EXPUNGE\r\n");
    }

    /// Appends VANISHED from ranges (RFC 7162 §3.2.10); nothing if there are none.
    pub fn vanished<N: Number>(&mut self, earlier: bool, uids: impl IntoIterator<Item = (N, N)>) {
        let mut uids = uids.into_iter().peekable();
        if uids.peek().is_none() {
            return;
        }
        self.raw(if earlier {
            b"* VANISHED (EARLIER) "
        } else {
            b"* VANISHED "
        });
        self.ranges(uids);
        self.end_line();
    }

    /// Appends LIST.
    pub fn list_line(
        &mut self,
        attributes: &[ListAttribute],
        separator: Option<char>,
        mailbox: &MailboxName,
        extended: &[ListExtended],
    ) {
        self.list_like(b"* LIST ", attributes, separator, mailbox, extended);
    }

    /// Appends LSUB (RFC 3501 §7.2.3).
    pub fn lsub_line(
        &mut self,
        attributes: &[ListAttribute],
        separator: Option<char>,
        mailbox: &MailboxName,
    ) {
        self.list_like(b"* LSUB ", attributes, separator, mailbox, &[]);
    }

    pub(crate) fn list_entry(&mut self, name: &[u8], entry: &ListEntry) {
        let ListEntry {
            attributes,
            separator,
            mailbox,
            extended,
        } = entry;
        self.list_like(name, attributes, *separator, mailbox, extended);
    }

    fn list_like(
        &mut self,
        name: &[u8],
        attributes: &[ListAttribute],
        separator: Option<char>,
        mailbox: &MailboxName,
        extended: &[ListExtended],
    ) {
        self.raw(name);
        self.list(attributes, |w, attribute| attribute.write(w.out));
        self.space();
        self.separator(separator);
        self.space();
        self.mailbox(mailbox);
        if !extended.is_empty() {
            self.space();
            self.list(extended, Self::list_extended);
        }
        self.end_line();
    }

    fn separator(&mut self, separator: Option<char>) {
        match separator {
            Some(separator) => self.string(separator.encode_utf8(&mut [0; 4]).as_bytes()),
            None => self.raw(b"NIL"),
        }
    }

    fn list_extended(&mut self, item: &ListExtended) {
        match item {
            ListExtended::ChildInfo(options) => {
                self.raw(b"\"CHILDINFO\" ");
                self.list(options, |w, option| {
                    w.string(match option {
                        ChildInfo::Subscribed => b"SUBSCRIBED",
                        ChildInfo::SpecialUse => b"SPECIAL-USE",
                        ChildInfo::Other(name) => name.as_bytes(),
                    });
                });
            }
            ListExtended::OldName(name) => {
                self.raw(b"\"OLDNAME\" (");
                self.mailbox(name);
                self.raw(b")");
            }
            ListExtended::Other(tag, value) => {
                self.astring(tag);
                self.space();
                self.raw(value);
            }
        }
    }

    /// Appends STATUS.
    pub fn status(&mut self, mailbox: &MailboxName, values: &[StatusValue]) {
        self.raw(b"* STATUS ");
        self.mailbox(mailbox);
        self.space();
        self.list(values, |w, value| {
            let (name, n) = match value {
                StatusValue::Messages(n) => ("MESSAGES ", u64::from(*n)),
                StatusValue::Recent(n) => ("RECENT ", u64::from(*n)),
                StatusValue::UidNext(uid) => ("UIDNEXT ", uid.get().into()),
                StatusValue::UidValidity(n) => ("UIDVALIDITY ", n.get().into()),
                StatusValue::Unseen(n) => ("UNSEEN ", u64::from(*n)),
                StatusValue::Deleted(n) => ("DELETED ", u64::from(*n)),
                StatusValue::DeletedStorage(n) => ("DELETED-STORAGE ", *n),
                StatusValue::Size(n) => ("SIZE ", *n),
                StatusValue::HighestModSeq(mod_seq) => ("HIGHESTMODSEQ ", mod_seq.get()),
                StatusValue::AppendLimit(Some(n)) => ("APPENDLIMIT ", *n),
                StatusValue::AppendLimit(None) => return w.raw(b"APPENDLIMIT NIL"),
                StatusValue::MailboxId(id) => {
                    w.raw(b"MAILBOXID (");
                    w.raw(id.as_str().as_bytes());
                    return w.raw(b")");
                }
            };
            w.raw(name.as_bytes());
            w.number(n);
        });
        self.end_line();
    }

    /// Appends NAMESPACE.
    pub fn namespace(&mut self, namespaces: &Namespaces) {
        self.raw(b"* NAMESPACE");
        for class in [
            &namespaces.personal,
            &namespaces.other_users,
            &namespaces.shared,
        ] {
            self.space();
            if class.is_empty() {
                self.raw(b"NIL");
                continue;
            }
            self.raw(b"(");
            for NamespaceEntry {
                prefix,
                separator,
                extensions,
            } in class
            {
                self.raw(b"(");
                // A string, not an astring.
                if self.utf8 {
                    self.string(prefix.as_bytes());
                } else {
                    self.string(crate::types::mutf7::encode(prefix).as_bytes());
                }
                self.space();
                self.separator(*separator);
                for (name, values) in extensions {
                    self.space();
                    self.string(name);
                    self.space();
                    self.list(values, |w, value| w.string(value));
                }
                self.raw(b")");
            }
            self.raw(b")");
        }
        self.end_line();
    }

    /// Appends ACL (RFC 4314 §3.6).
    pub fn acl(&mut self, mailbox: &MailboxName, entries: &[AclEntry]) {
        self.raw(b"* ACL ");
        self.mailbox(mailbox);
        self.astrings(
            entries
                .iter()
                .flat_map(|entry| [&entry.identifier, &entry.rights]),
        );
        self.end_line();
    }

    /// Appends LISTRIGHTS (RFC 4314 §3.7).
    pub fn list_rights(
        &mut self,
        mailbox: &MailboxName,
        identifier: &[u8],
        required: &[u8],
        optional: &[Vec<u8>],
    ) {
        self.raw(b"* LISTRIGHTS ");
        self.mailbox(mailbox);
        self.astrings([identifier, required]);
        self.astrings(optional);
        self.end_line();
    }

    /// Appends MYRIGHTS (RFC 4314 §3.8).
    pub fn my_rights(&mut self, mailbox: &MailboxName, rights: &[u8]) {
        self.raw(b"* MYRIGHTS ");
        self.mailbox(mailbox);
        self.astrings([rights]);
        self.end_line();
    }

    /// Appends QUOTA (RFC 9208 §4.2.1).
    pub fn quota(&mut self, root: &[u8], limits: &[QuotaLimit]) {
        self.raw(b"* QUOTA ");
        self.astring(root);
        self.space();
        self.list(
            limits,
            |w,
             QuotaLimit {
                 resource,
                 usage,
                 limit,
             }| {
                w.raw(resource.name());
                w.space();
                w.number(*usage);
                w.space();
                w.number(*limit);
            },
        );
        self.end_line();
    }

    /// Appends QUOTAROOT (RFC 9208 §4.2.2).
    pub fn quota_root(&mut self, mailbox: &MailboxName, roots: &[Vec<u8>]) {
        self.raw(b"* QUOTAROOT ");
        self.mailbox(mailbox);
        self.astrings(roots);
        self.end_line();
    }

    /// Appends METADATA with values (RFC 5464 §4.4.1). A value with a NUL is a literal8.
    pub fn metadata(&mut self, mailbox: &MailboxName, entries: &[MetadataEntry]) {
        self.raw(b"* METADATA ");
        self.mailbox(mailbox);
        self.space();
        self.list(entries, |w, MetadataEntry { name, value }| {
            w.astring(name);
            w.space();
            match value {
                Some(value) if value.contains(&0) => {
                    w.raw(b"~");
                    super::write_literal_header(w.out, value.len() as u64);
                    w.raw(value);
                }
                value => w.nstring(value.as_deref()),
            }
        });
        self.end_line();
    }

    /// Appends METADATA with the entries that changed (RFC 5464 §4.4.2).
    pub fn metadata_changed(&mut self, mailbox: &MailboxName, entries: &[Vec<u8>]) {
        self.raw(b"* METADATA ");
        self.mailbox(mailbox);
        self.astrings(entries);
        self.end_line();
    }

    /// Appends LANGUAGE (RFC 5255 §3.3).
    pub fn language<T: AsRef<[u8]>>(&mut self, tags: impl IntoIterator<Item = T>) {
        self.raw(b"* LANGUAGE ");
        self.list(tags, |w, tag| w.astring(tag.as_ref()));
        self.end_line();
    }

    /// Appends COMPARATOR (RFC 5255 §4.8).
    pub fn comparator(&mut self, active: &[u8], matching: &[Vec<u8>]) {
        self.raw(b"* COMPARATOR");
        self.astrings([active]);
        if !matching.is_empty() {
            self.space();
            self.list(matching, |w, name| w.astring(name));
        }
        self.end_line();
    }

    /// Appends GENURLAUTH (RFC 4467 §7).
    pub fn gen_url_auth(&mut self, urls: &[Vec<u8>]) {
        self.raw(b"* GENURLAUTH");
        self.astrings(urls);
        self.end_line();
    }

    /// Appends URLFETCH (RFC 4467 §7).
    pub fn url_fetch(&mut self, urls: &[FetchedUrl]) {
        self.raw(b"* URLFETCH");
        for FetchedUrl { url, content } in urls {
            self.astrings([url]);
            self.space();
            match content {
                UrlContent::Plain(data) => self.nstring(data.as_deref()),
                UrlContent::Items { structure, data } => {
                    if let Some(structure) = structure {
                        self.raw(b"(BODYPARTSTRUCTURE ");
                        self.body_structure(structure);
                        self.raw(if data.is_some() { b") " } else { b")" });
                    }
                    if let Some((kind, data)) = data {
                        self.raw(match kind {
                            UrlData::Body => b"(BODY ",
                            UrlData::Binary => b"(BINARY ",
                        });
                        match data {
                            // RFC 5524 §5: NUL needs a literal8.
                            Some(data) if data.contains(&0) => {
                                self.raw(format!("~{{{}}}\r\n", data.len()).as_bytes());
                                self.raw(data);
                            }
                            data => self.nstring(data.as_deref()),
                        }
                        self.raw(b")");
                    }
                }
            }
        }
        self.end_line();
    }

    /// Appends UIDBATCHES (RFC 10022 §4).
    pub fn uid_batches(&mut self, tag: &Tag, ranges: impl IntoIterator<Item = (Uid, Uid)>) {
        self.raw(b"* UIDBATCHES (TAG ");
        self.string(tag.as_str().as_bytes());
        self.raw(b")");
        let mut separator = b' ';
        for (first, last) in ranges {
            // The grammar has ranges only, also of one UID, the newest first.
            self.out.push(separator);
            self.number(first.get().into());
            self.raw(b":");
            self.number(last.get().into());
            separator = b',';
        }
        self.end_line();
    }

    /// Appends JMAPACCESS (RFC 9698 §4).
    pub fn jmap_access(&mut self, url: &[u8]) {
        self.raw(b"* JMAPACCESS ");
        self.string(url);
        self.end_line();
    }
}
