//! Typed responses, by the functions of the writer.

use bytes::Bytes;

use super::{FetchItems, Writer};
use crate::types::{FetchItem, Response, UntaggedData};

impl Writer<'_> {
    /// Appends any response.
    pub fn response(&mut self, response: &Response) {
        match response {
            Response::Continuation(text) => self.continuation(text),
            Response::Status(status) => self.status_response(status),
            Response::Data(data) => self.data(data),
        }
    }

    /// Appends untagged data.
    pub fn data(&mut self, data: &UntaggedData) {
        match data {
            UntaggedData::Capability(capabilities) => self.capability(capabilities),
            UntaggedData::Enabled(capabilities) => self.enabled(capabilities),
            UntaggedData::Id(fields) => {
                let fields = fields.iter().flatten();
                self.id(fields.map(|(field, value)| (&field[..], value.as_deref())));
            }
            UntaggedData::Flags(flags) => self.flags(flags),
            UntaggedData::Exists(n) => self.exists(*n),
            UntaggedData::Recent(n) => self.recent(*n),
            UntaggedData::Expunge(seq) => self.expunge(*seq),
            UntaggedData::Vanished { earlier, uids } => {
                self.raw(if *earlier {
                    b"* VANISHED (EARLIER) "
                } else {
                    b"* VANISHED "
                });
                self.set(uids);
                self.end_line();
            }
            UntaggedData::Fetch { seq, items } => {
                let fetch = FetchItems::begin(self.out, *seq);
                self.fetch_items(fetch, items);
            }
            UntaggedData::UidFetch { uid, items } => {
                let fetch = FetchItems::begin_uid(self.out, *uid);
                self.fetch_items(fetch, items);
            }
            UntaggedData::List(entry) => self.list_entry(b"* LIST ", entry),
            UntaggedData::Lsub(entry) => self.list_entry(b"* LSUB ", entry),
            UntaggedData::Xlist(entry) => self.list_entry(b"* XLIST ", entry),
            UntaggedData::Status { mailbox, values } => self.status(mailbox, values),
            UntaggedData::Namespace(namespaces) => self.namespace(namespaces),
            UntaggedData::Search { ids, mod_seq } => self.search(ids.iter().copied(), *mod_seq),
            UntaggedData::Esearch(esearch) => self.esearch_response(esearch),
            UntaggedData::Sort { ids, mod_seq } => self.sort(ids.iter().copied(), *mod_seq),
            UntaggedData::Thread(roots) => self.thread(roots),
            UntaggedData::Acl { mailbox, entries } => self.acl(mailbox, entries),
            UntaggedData::ListRights {
                mailbox,
                identifier,
                required,
                optional,
            } => {
                self.list_rights(mailbox, identifier, required, optional);
            }
            UntaggedData::MyRights { mailbox, rights } => self.my_rights(mailbox, rights),
            UntaggedData::Quota { root, limits } => self.quota(root, limits),
            UntaggedData::QuotaRoot { mailbox, roots } => self.quota_root(mailbox, roots),
            UntaggedData::Metadata { mailbox, entries } => self.metadata(mailbox, entries),
            UntaggedData::MetadataChanged { mailbox, entries } => {
                self.metadata_changed(mailbox, entries);
            }
            UntaggedData::Language(tags) => self.language(tags),
            UntaggedData::Comparator { active, matching } => self.comparator(active, matching),
            UntaggedData::GenUrlAuth(urls) => self.gen_url_auth(urls),
            UntaggedData::UrlFetch(urls) => self.url_fetch(urls),
            UntaggedData::UidBatches { tag, ranges } => {
                self.uid_batches(tag, ranges.iter().copied());
            }
            UntaggedData::JmapAccess(url) => self.jmap_access(url),
            UntaggedData::Other(line) => {
                self.raw(b"* ");
                self.raw(line);
                self.end_line();
            }
        }
    }

    fn fetch_items(&mut self, mut fetch: FetchItems, items: &[FetchItem]) {
        for item in items {
            self.fetch_item(&mut fetch, item);
        }
        fetch.end(self.out);
    }

    fn fetch_item(&mut self, fetch: &mut FetchItems, item: &FetchItem) {
        let out = &mut *self.out;
        match item {
            FetchItem::Flags(flags) => {
                fetch.flags(out, flags.iter().map(|flag| flag.to_string()));
            }
            FetchItem::Uid(uid) => fetch.uid(out, *uid),
            FetchItem::ModSeq(mod_seq) => fetch.mod_seq(out, *mod_seq),
            FetchItem::InternalDate(date) => fetch.internal_date(out, *date),
            FetchItem::Rfc822Size(size) => fetch.rfc822_size(out, *size),
            FetchItem::Envelope(envelope) => {
                fetch.ready(out, "ENVELOPE", b"");
                self.envelope(envelope);
            }
            FetchItem::Body(body) => {
                fetch.ready(out, "BODY", b"");
                self.body_structure(body);
            }
            FetchItem::BodyStructure(body) => {
                fetch.ready(out, "BODYSTRUCTURE", b"");
                self.body_structure(body);
            }
            FetchItem::Section {
                section,
                origin,
                data,
            } => match data {
                Some(data) => {
                    fetch.section(out, section, *origin, data.len() as u64);
                    self.raw(data);
                }
                None => fetch.section_nil(out, section, *origin),
            },
            FetchItem::Rfc822(data) => self.rfc822(fetch, "RFC822", data.as_ref()),
            FetchItem::Rfc822Header(data) => self.rfc822(fetch, "RFC822.HEADER", data.as_ref()),
            FetchItem::Rfc822Text(data) => self.rfc822(fetch, "RFC822.TEXT", data.as_ref()),
            FetchItem::Binary { part, origin, data } => match data {
                Some(data) => {
                    let nul = data.contains(&0);
                    fetch.binary(out, part, *origin, data.len() as u64, nul);
                    self.raw(data);
                }
                None => fetch.binary_nil(out, part),
            },
            FetchItem::BinarySize(part, size) => fetch.binary_size(out, part, *size),
            FetchItem::EmailId(id) => fetch.email_id(out, id),
            FetchItem::ThreadId(id) => fetch.thread_id(out, id.as_ref()),
            FetchItem::SaveDate(date) => fetch.save_date(out, *date),
            FetchItem::Preview(text) => {
                fetch.ready(out, "PREVIEW", b"");
                self.nstring(text.as_deref());
            }
            FetchItem::Other(name, value) => {
                fetch.ready(out, &String::from_utf8_lossy(name), value);
            }
        }
    }

    fn rfc822(&mut self, fetch: &mut FetchItems, name: &str, data: Option<&Bytes>) {
        match data {
            Some(data) => {
                fetch.rfc822(self.out, name, data.len() as u64);
                self.raw(data);
            }
            None => fetch.ready(self.out, name, b"NIL"),
        }
    }
}
