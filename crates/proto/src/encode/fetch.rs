//! FETCH responses, item by item (RFC 9051 §7.5.2).

use super::{write_astring, write_literal_header, write_number, write_string};
use crate::types::{DateTime, ModSeq, ObjectId, Section, SectionPart, SectionText, SeqNum, Uid};

/// A FETCH response that is being written.
///
/// Every function appends to the buffer it is given. After one that announces a literal, the
/// caller sends exactly that many bytes (the buffer may be flushed before) and goes on.
#[derive(Debug)]
#[must_use = "a FETCH response must be ended"]
pub struct FetchItems {
    started: bool,
}

impl FetchItems {
    /// Begins `* seq FETCH (`.
    pub fn begin(out: &mut Vec<u8>, seq: SeqNum) -> Self {
        Self::begin_with(out, seq.get(), b" FETCH (")
    }

    /// Begins `* uid UIDFETCH (` (RFC 9586 §3.3).
    pub fn begin_uid(out: &mut Vec<u8>, uid: Uid) -> Self {
        Self::begin_with(out, uid.get(), b" UIDFETCH (")
    }

    fn begin_with(out: &mut Vec<u8>, n: u32, name: &[u8]) -> Self {
        out.extend_from_slice(b"* ");
        write_number(out, n.into());
        out.extend_from_slice(name);
        Self { started: false }
    }

    /// Ends the response.
    pub fn end(self, out: &mut Vec<u8>) {
        out.extend_from_slice(b")\r\n");
    }

    /// Appends an item with a value that is ready to send, such as `ENVELOPE`, `BODY` or
    /// `BODYSTRUCTURE` and what the message parser wrote.
    pub fn ready(&mut self, out: &mut Vec<u8>, name: &str, value: &[u8]) {
        self.item(out, name);
        out.extend_from_slice(value);
    }

    fn item(&mut self, out: &mut Vec<u8>, name: &str) {
        self.separate(out);
        out.extend_from_slice(name.as_bytes());
        out.push(b' ');
    }

    fn separate(&mut self, out: &mut Vec<u8>) {
        if self.started {
            out.push(b' ');
        }
        self.started = true;
    }

    /// Appends FLAGS; each flag as it is sent, such as `\Seen`.
    pub fn flags<F: AsRef<[u8]>>(&mut self, out: &mut Vec<u8>, flags: impl IntoIterator<Item = F>) {
        self.item(out, "FLAGS");
        out.push(b'(');
        for (i, flag) in flags.into_iter().enumerate() {
            if i > 0 {
                out.push(b' ');
            }
            out.extend_from_slice(flag.as_ref());
        }
        out.push(b')');
    }

    /// Appends UID.
    pub fn uid(&mut self, out: &mut Vec<u8>, uid: Uid) {
        self.item(out, "UID");
        write_number(out, uid.get().into());
    }

    /// Appends MODSEQ (RFC 7162 §3.1.4).
    pub fn mod_seq(&mut self, out: &mut Vec<u8>, mod_seq: ModSeq) {
        self.item(out, "MODSEQ");
        out.push(b'(');
        write_number(out, mod_seq.get());
        out.push(b')');
    }

    /// Appends INTERNALDATE.
    pub fn internal_date(&mut self, out: &mut Vec<u8>, date: DateTime) {
        self.item(out, "INTERNALDATE");
        date.write(out);
    }

    /// Appends RFC822.SIZE.
    pub fn rfc822_size(&mut self, out: &mut Vec<u8>, size: u64) {
        self.item(out, "RFC822.SIZE");
        write_number(out, size);
    }

    /// Appends EMAILID (RFC 8474 §5.1).
    pub fn email_id(&mut self, out: &mut Vec<u8>, id: &ObjectId) {
        self.object_id(out, "EMAILID", id.as_str());
    }

    /// Appends THREADID (RFC 8474 §5.2).
    pub fn thread_id(&mut self, out: &mut Vec<u8>, id: Option<&ObjectId>) {
        match id {
            Some(id) => self.object_id(out, "THREADID", id.as_str()),
            None => self.ready(out, "THREADID", b"NIL"),
        }
    }

    /// Appends EMAILID or THREADID with an identifier that the caller knows to be one.
    pub fn object_id(&mut self, out: &mut Vec<u8>, name: &str, id: &str) {
        self.item(out, name);
        out.push(b'(');
        out.extend_from_slice(id.as_bytes());
        out.push(b')');
    }

    /// Appends SAVEDATE (RFC 8514 §4.2).
    pub fn save_date(&mut self, out: &mut Vec<u8>, date: Option<DateTime>) {
        self.item(out, "SAVEDATE");
        match date {
            Some(date) => date.write(out),
            None => out.extend_from_slice(b"NIL"),
        }
    }

    /// Appends PREVIEW (RFC 8970 §3): text in UTF-8, quoted only if the client may get UTF-8.
    pub fn preview(&mut self, out: &mut Vec<u8>, text: Option<&str>, utf8: bool) {
        self.item(out, "PREVIEW");
        match text {
            Some(text) => write_string(out, text.as_bytes(), utf8),
            None => out.extend_from_slice(b"NIL"),
        }
    }

    fn section_name(&mut self, out: &mut Vec<u8>, section: &Section, origin: Option<u64>) {
        self.separate(out);
        out.extend_from_slice(b"BODY");
        write_section(out, section);
        write_origin(out, origin);
        out.push(b' ');
    }

    /// Announces BODY[…] as a literal of `size` bytes: the caller sends them next. `origin` is
    /// the offset that was asked for, if a part was asked for.
    pub fn section(
        &mut self,
        out: &mut Vec<u8>,
        section: &Section,
        origin: Option<u64>,
        size: u64,
    ) {
        self.section_name(out, section, origin);
        write_literal_header(out, size);
    }

    /// As [`FetchItems::section`], of a section that [`write_section`] wrote before: for many messages.
    pub fn written_section(
        &mut self,
        out: &mut Vec<u8>,
        section: &[u8],
        origin: Option<u64>,
        size: u64,
    ) {
        self.written_section_name(out, section, origin);
        write_literal_header(out, size);
    }

    /// As [`FetchItems::section_nil`], likewise.
    pub fn written_section_nil(&mut self, out: &mut Vec<u8>, section: &[u8], origin: Option<u64>) {
        self.written_section_name(out, section, origin);
        out.extend_from_slice(b"NIL");
    }

    fn written_section_name(&mut self, out: &mut Vec<u8>, section: &[u8], origin: Option<u64>) {
        self.separate(out);
        out.extend_from_slice(b"BODY");
        out.extend_from_slice(section);
        write_origin(out, origin);
        out.push(b' ');
    }

    /// Appends BODY[…] with NIL: there is no such part.
    pub fn section_nil(&mut self, out: &mut Vec<u8>, section: &Section, origin: Option<u64>) {
        self.section_name(out, section, origin);
        out.extend_from_slice(b"NIL");
    }

    /// Announces RFC822, RFC822.HEADER or RFC822.TEXT as a literal (RFC 3501 §7.4.2).
    pub fn rfc822(&mut self, out: &mut Vec<u8>, name: &str, size: u64) {
        self.item(out, name);
        write_literal_header(out, size);
    }

    fn binary_name(&mut self, out: &mut Vec<u8>, name: &str, part: &SectionPart) {
        self.separate(out);
        out.extend_from_slice(name.as_bytes());
        out.push(b'[');
        write_part(out, part);
        out.push(b']');
    }

    /// Announces BINARY[…] as a literal of `size` bytes: a literal8 if they may hold a NUL
    /// (RFC 3516 §4.3). `origin` as for a section: RFC 9051 has none here, so that only a client
    /// that did not enable IMAP4rev2 should get one.
    pub fn binary(
        &mut self,
        out: &mut Vec<u8>,
        part: &SectionPart,
        origin: Option<u64>,
        size: u64,
        nul: bool,
    ) {
        self.binary_name(out, "BINARY", part);
        write_origin(out, origin);
        out.push(b' ');
        if nul {
            out.push(b'~');
        }
        write_literal_header(out, size);
    }

    /// Appends BINARY[…] with NIL.
    pub fn binary_nil(&mut self, out: &mut Vec<u8>, part: &SectionPart) {
        self.binary_name(out, "BINARY", part);
        out.extend_from_slice(b" NIL");
    }

    /// Appends BINARY.SIZE[…].
    pub fn binary_size(&mut self, out: &mut Vec<u8>, part: &SectionPart, size: u64) {
        self.binary_name(out, "BINARY.SIZE", part);
        out.push(b' ');
        write_number(out, size);
    }
}

fn write_origin(out: &mut Vec<u8>, origin: Option<u64>) {
    if let Some(origin) = origin {
        out.push(b'<');
        write_number(out, origin);
        out.push(b'>');
    }
}

fn write_part(out: &mut Vec<u8>, part: &SectionPart) {
    for (i, n) in part.iter().enumerate() {
        if i > 0 {
            out.push(b'.');
        }
        write_number(out, n.get().into());
    }
}

/// Appends a section with its brackets: `[1.2.HEADER.FIELDS (FROM)]`.
pub fn write_section(out: &mut Vec<u8>, section: &Section) {
    out.push(b'[');
    write_part(out, &section.part);
    if let Some(text) = &section.text {
        if !section.part.is_empty() {
            out.push(b'.');
        }
        match text {
            SectionText::Header => out.extend_from_slice(b"HEADER"),
            SectionText::Text => out.extend_from_slice(b"TEXT"),
            SectionText::Mime => out.extend_from_slice(b"MIME"),
            SectionText::HeaderFields { names, not } => {
                out.extend_from_slice(b"HEADER.FIELDS");
                out.extend_from_slice(if *not { b".NOT (" } else { b" (" });
                for (i, name) in names.iter().enumerate() {
                    if i > 0 {
                        out.push(b' ');
                    }
                    write_astring(out, name, false);
                }
                out.push(b')');
            }
        }
    }
    out.push(b']');
}
