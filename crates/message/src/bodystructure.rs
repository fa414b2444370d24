//! BODY and BODYSTRUCTURE (RFC 9051 §7.5.2; RFC 3501 §7.4.2).

use std::borrow::Cow;

use crate::content::{self, Parameter, Value};
use crate::envelope::envelope;
use crate::header::{Field, fields};
use crate::imap::{Strings, nstring, number, string};
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
    /// Parameters are given as the fields have them: the pieces of RFC 2231 are not joined.
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
            match task {
                Task::Open(index) => {
                    let part = &self.structure.parts[index];
                    let writer = PartWriter {
                        part,
                        fields: ContentFields::read(self.header_of(index)),
                        strings,
                        extended,
                    };
                    out.push(b'(');
                    match part.kind {
                        Kind::Leaf => writer.leaf(out),
                        Kind::Multipart => {
                            tasks.push(Task::Close(index));
                            let first = tasks.len();
                            tasks.extend(self.structure.children(index).map(Task::Open));
                            tasks[first..].reverse();
                        }
                        Kind::Message => {
                            writer.message(out);
                            envelope(self.header_of(index + 1), strings, &mut budget, out);
                            out.push(b' ');
                            tasks.push(Task::Close(index));
                            tasks.push(Task::Open(index + 1));
                        }
                    }
                }
                Task::Close(index) => {
                    let part = &self.structure.parts[index];
                    let fields = ContentFields::read(self.header_of(index));
                    let writer = PartWriter {
                        part,
                        fields,
                        strings,
                        extended,
                    };
                    match part.kind {
                        Kind::Multipart => writer.multipart_end(out),
                        Kind::Message | Kind::Leaf => writer.message_end(out),
                    }
                }
            }
        }
    }
}

enum Task {
    Open(usize),
    Close(usize),
}

/// The fields of a part header that the structure shows; the first of one name counts.
#[derive(Default)]
struct ContentFields<'a> {
    media: Option<Value>,
    encoding: Option<Field<'a>>,
    id: Option<Field<'a>>,
    description: Option<Field<'a>>,
    md5: Option<Field<'a>>,
    disposition: Option<Field<'a>>,
    language: Option<Field<'a>>,
    location: Option<Field<'a>>,
}

impl<'a> ContentFields<'a> {
    fn read(header: &'a [u8]) -> ContentFields<'a> {
        let mut found = ContentFields::default();
        let mut media = None;
        for field in fields(header) {
            let Some(name) = content::strip_prefix_no_case(field.name, b"content-") else {
                continue;
            };
            let slot = match &name.to_ascii_lowercase()[..] {
                b"type" => &mut media,
                b"transfer-encoding" => &mut found.encoding,
                b"id" => &mut found.id,
                b"description" => &mut found.description,
                b"md5" => &mut found.md5,
                b"disposition" => &mut found.disposition,
                b"language" => &mut found.language,
                b"location" => &mut found.location,
                _ => continue,
            };
            slot.get_or_insert(field);
        }
        found.media = media.and_then(|field| content::media_type(field.value));
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
        self.text(&self.fields.id, out);
        out.push(b' ');
        self.text(&self.fields.description, out);
        out.push(b' ');
        let encoding = self
            .fields
            .encoding
            .map(|field| content::encoding_name(field.value));
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
        let has_charset = parameters
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case(b"charset"));
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
            self.text(&self.fields.md5, out);
            self.common_extension(out);
        }
        out.push(b')');
    }

    /// `SP body-fld-dsp SP body-fld-lang SP body-fld-loc`
    fn common_extension(&self, out: &mut Vec<u8>) {
        out.push(b' ');
        let disposition = self
            .fields
            .disposition
            .map(|field| content::value(field.value));
        match disposition.filter(|value| !value.main.is_empty()) {
            Some(value) => {
                out.push(b'(');
                string(self.strings, &value.main, out);
                out.push(b' ');
                self.parameters(&value.parameters, false, out);
                out.push(b')');
            }
            None => out.extend_from_slice(b"NIL"),
        }
        out.push(b' ');
        let languages = self
            .fields
            .language
            .map(|field| content::words(field.value));
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
        self.text(&self.fields.location, out);
    }

    fn text(&self, field: &Option<Field<'_>>, out: &mut Vec<u8>) {
        nstring(
            self.strings,
            field.map(|field| field.text()).as_deref(),
            out,
        );
    }
}
