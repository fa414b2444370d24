//! BODY and BODYSTRUCTURE (RFC 9051 §7.5.2; RFC 3501 §7.4.2).

use std::borrow::Cow;

use crate::content::{self, Parameter, Value};
use crate::envelope::envelope;
use crate::header::unfold;
use crate::imap::{Strings, nstring, number, string};
use crate::known::{KnownFields, Name};
use crate::message::Message;
use crate::structure::{Kind, Part};

/// Octet counts are 32-bit numbers in the grammar.
const NUMBER_MAX: u64 = u32::MAX as u64;

impl Message {
    /// Appends BODY: the structure without extension data.
    pub fn body(&self, strings: Strings, out: &mut Vec<u8>) {
        self.write_structure(false, strings, out);
    }

    /// Appends BODYSTRUCTURE with all extension data. Always grammatical, without NUL.
    ///
    /// Parameters are given as the fields have them, but for the pieces of RFC 2231 §3, which are joined (§6).
    /// What the parser did not descend into for a limit or an encoding is shown as
    /// application/octet-stream, because the grammar wants the insides of a message/rfc822.
    pub fn bodystructure(&self, strings: Strings, out: &mut Vec<u8>) {
        self.write_structure(true, strings, out);
    }

    /// Writes all parts with a stack of its own: depth costs no stack of ours.
    fn write_structure(&self, extended: bool, strings: Strings, out: &mut Vec<u8>) {
        let mut budget = self.limits.addresses;
        let mut tasks = vec![Task::Open(0)];
        while let Some(task) = tasks.pop() {
            let (Task::Open(index) | Task::Close(index)) = task;
            let part = &self.structure.parts[index];
            let writer = || {
                let fields = ContentFields::read(self.fields_of(index));
                PartWriter {
                    part,
                    fields,
                    strings,
                    extended,
                }
            };
            match (task, part.kind) {
                (Task::Open(_), Kind::Leaf) => {
                    out.push(b'(');
                    writer().leaf(out);
                }
                (Task::Open(_), Kind::Multipart) => {
                    out.push(b'(');
                    tasks.push(Task::Close(index));
                    let first = tasks.len();
                    tasks.extend(self.structure.children(index).map(Task::Open));
                    tasks[first..].reverse();
                }
                (Task::Open(_), Kind::Message) => {
                    out.push(b'(');
                    writer().message(out);
                    envelope(self.fields_of(index + 1), strings, &mut budget, out);
                    out.push(b' ');
                    tasks.push(Task::Close(index));
                    tasks.push(Task::Open(index + 1));
                }
                (Task::Close(_), Kind::Multipart) => writer().multipart_end(out),
                (Task::Close(_), Kind::Message | Kind::Leaf) => writer().message_end(out),
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Task {
    Open(usize),
    Close(usize),
}

/// The fields of a part header that the structure shows; the first of one name counts.
#[derive(Default)]
struct ContentFields<'a> {
    media: Option<Value>,
    encoding: Option<&'a [u8]>,
    id: Option<&'a [u8]>,
    description: Option<&'a [u8]>,
    md5: Option<&'a [u8]>,
    disposition: Option<&'a [u8]>,
    language: Option<&'a [u8]>,
    location: Option<&'a [u8]>,
}

impl<'a> ContentFields<'a> {
    fn read(fields: KnownFields<'a>) -> ContentFields<'a> {
        let mut found = ContentFields::default();
        let mut media = None;
        for (name, value) in fields.iter() {
            let slot = match name {
                Name::ContentType => &mut media,
                Name::ContentTransferEncoding => &mut found.encoding,
                Name::ContentId => &mut found.id,
                Name::ContentDescription => &mut found.description,
                Name::ContentMd5 => &mut found.md5,
                Name::ContentDisposition => &mut found.disposition,
                Name::ContentLanguage => &mut found.language,
                Name::ContentLocation => &mut found.location,
                _ => continue,
            };
            slot.get_or_insert(value);
        }
        found.media = media.and_then(content::media_type).map(|mut media| {
            media.parameters = content::with_pieces_joined(media.parameters);
            media
        });
        found
    }
}

/// Writes what belongs to one part alone.
struct PartWriter<'a> {
    part: &'a Part,
    fields: ContentFields<'a>,
    strings: Strings,
    extended: bool,
}

impl PartWriter<'_> {
    /// `media SP body-fields [SP body-fld-lines] [SP body-ext-1part]`
    fn leaf(&self, out: &mut Vec<u8>) {
        let is_text = self.media_and_fields(out);
        if is_text {
            out.push(b' ');
            number(self.part.lines, out);
        }
        self.one_part_extension(out);
    }

    /// `media SP body-fields SP`
    fn message(&self, out: &mut Vec<u8>) {
        self.media_and_fields(out);
        out.push(b' ');
    }

    /// `SP body-fld-lines [SP body-ext-1part] ")"`
    fn message_end(&self, out: &mut Vec<u8>) {
        out.push(b' ');
        number(self.part.lines, out);
        self.one_part_extension(out);
    }

    /// `SP media-subtype [SP body-ext-mpart] ")"`
    fn multipart_end(&self, out: &mut Vec<u8>) {
        out.push(b' ');
        let media = self.fields.media.as_ref();
        string(
            self.strings,
            media.map_or(b"mixed", |media| &media.subtype),
            out,
        );
        if self.extended {
            out.push(b' ');
            self.parameters(media.map_or(&[], |media| &media.parameters), false, out);
            self.common_extension(out);
        }
        out.push(b')');
    }

    /// Writes the type and the basic fields; whether it is text, which has lines.
    fn media_and_fields(&self, out: &mut Vec<u8>) -> bool {
        let (main, subtype, parameters) = self.media();
        let is_text = main.eq_ignore_ascii_case(b"text");
        string(self.strings, &main, out);
        out.push(b' ');
        string(self.strings, &subtype, out);
        out.push(b' ');
        self.parameters(parameters, is_text, out);
        out.push(b' ');
        self.text(self.fields.id, out);
        out.push(b' ');
        self.text(self.fields.description, out);
        out.push(b' ');
        let encoding = self.fields.encoding.map(content::encoding_name);
        let encoding = encoding.filter(|name| !name.is_empty());
        string(self.strings, encoding.as_deref().unwrap_or(b"7bit"), out);
        out.push(b' ');
        number(self.part.octets().min(NUMBER_MAX), out);
        is_text
    }

    /// The type as the field spells it, as far as it is what the part was taken for.
    fn media(&self) -> (Cow<'_, [u8]>, Cow<'_, [u8]>, &[Parameter]) {
        let parameters = self
            .fields
            .media
            .as_ref()
            .map_or(&[][..], |media| &media.parameters);
        let opaque = self.part.kind == Kind::Leaf
            && (self.part.media_type.starts_with("multipart/")
                || matches!(&*self.part.media_type, "message/rfc822" | "message/global"));
        if opaque {
            return (
                Cow::Borrowed(b"application"),
                Cow::Borrowed(b"octet-stream"),
                parameters,
            );
        }
        let (main, subtype) = self
            .part
            .media_type
            .split_once('/')
            .unwrap_or(("text", "plain"));
        match &self.fields.media {
            Some(media) if media.main.eq_ignore_ascii_case(main.as_bytes()) => (
                Cow::Borrowed(&media.main),
                Cow::Borrowed(&media.subtype),
                parameters,
            ),
            _ if main == "text" => (Cow::Borrowed(b"text"), Cow::Borrowed(b"plain"), &[]),
            _ => (
                Cow::Owned(main.into()),
                Cow::Owned(subtype.into()),
                parameters,
            ),
        }
    }

    /// `"(" string SP string *(SP string SP string) ")" / nil`; text without a charset has the
    /// default of RFC 2045 §5.2.
    fn parameters(&self, parameters: &[Parameter], is_text: bool, out: &mut Vec<u8>) {
        let has_charset = parameters.iter().any(|(name, _)| {
            name.eq_ignore_ascii_case(b"charset") || name.eq_ignore_ascii_case(b"charset*")
        });
        let default: Option<(&[u8], &[u8])> =
            (is_text && !has_charset).then_some((b"charset", b"us-ascii"));
        let given = parameters
            .iter()
            .map(|(name, value)| (&name[..], &value[..]));
        let mut separator = b'(';
        for (name, value) in default.into_iter().chain(given) {
            out.push(separator);
            separator = b' ';
            string(self.strings, name, out);
            out.push(b' ');
            string(self.strings, value, out);
        }
        if separator == b'(' {
            out.extend_from_slice(b"NIL");
        } else {
            out.push(b')');
        }
    }

    /// `[SP body-fld-md5 SP body-fld-dsp SP body-fld-lang SP body-fld-loc] ")"`
    fn one_part_extension(&self, out: &mut Vec<u8>) {
        if self.extended {
            out.push(b' ');
            self.text(self.fields.md5, out);
            self.common_extension(out);
        }
        out.push(b')');
    }

    /// `SP body-fld-dsp SP body-fld-lang SP body-fld-loc`
    fn common_extension(&self, out: &mut Vec<u8>) {
        out.push(b' ');
        let disposition = self.fields.disposition.map(content::value);
        match disposition.filter(|value| !value.main.is_empty()) {
            Some(value) => {
                out.push(b'(');
                string(self.strings, &value.main, out);
                out.push(b' ');
                let parameters = content::with_pieces_joined(value.parameters);
                self.parameters(&parameters, false, out);
                out.push(b')');
            }
            None => out.extend_from_slice(b"NIL"),
        }
        out.push(b' ');
        let languages = self.fields.language.map(content::words);
        match languages.filter(|words| !words.is_empty()) {
            Some(words) => {
                let mut separator = b'(';
                for word in &words {
                    out.push(separator);
                    separator = b' ';
                    string(self.strings, word, out);
                }
                out.push(b')');
            }
            None => out.extend_from_slice(b"NIL"),
        }
        out.push(b' ');
        self.text(self.fields.location, out);
    }

    fn text(&self, field: Option<&[u8]>, out: &mut Vec<u8>) {
        nstring(self.strings, field.map(unfold).as_deref(), out);
    }
}
