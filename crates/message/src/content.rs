//! Content-* fields: media type, parameters, encoding, disposition (RFC 2045 §5, §6; RFC 2183).

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use memchr::memchr;

use crate::charset::convert;
use crate::encoded_word::decode_header;
use crate::header;
use crate::known::{KnownFields, Name};
use crate::message::Message;
use crate::structure::{Encoding, Kind};
use crate::transfer;

/// What the header of a part says about its body, defaults applied.
pub(crate) struct Content {
    pub(crate) kind: Kind,
    pub(crate) media_type: Cow<'static, str>,
    pub(crate) charset: Option<Cow<'static, str>>,
    pub(crate) encoding: Encoding,
    pub(crate) boundary: Option<Box<[u8]>>,
    pub(crate) is_attachment: bool,
}

/// Parameters or languages read of one field; further ones are passed over.
const ITEMS_MAX: usize = 1000;

/// A name and a value, without quoting.
pub(crate) type Parameter = (Vec<u8>, Vec<u8>);

/// A structured value: words before the first semicolon, then parameters as they stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Value {
    /// Type and subtype, or disposition (then `subtype` is empty).
    pub(crate) main: Vec<u8>,
    pub(crate) subtype: Vec<u8>,
    pub(crate) parameters: Vec<Parameter>,
}

/// Reads the content fields; of several of one name the first counts.
pub(crate) fn interpret(fields: KnownFields<'_>, in_digest: bool) -> Content {
    let mut media = None;
    let mut encoding = None;
    let mut disposition = None;
    for (name, value) in fields.iter() {
        match name {
            Name::ContentType => media = media.or(Some(value)),
            Name::ContentTransferEncoding => encoding = encoding.or(Some(value)),
            Name::ContentDisposition => disposition = disposition.or(Some(value)),
            _ => {}
        }
    }
    let media = media.and_then(media_type);
    let encoding = encoding.map(encoding_name);
    let is_attachment = disposition.is_some_and(|text| {
        Scanner { rest: text }
            .word(b";")
            .eq_ignore_ascii_case(b"attachment")
    });
    let encoding = encoding.map_or(Encoding::SevenBit, |name| encoding_of(&name));
    let boundary = media.as_ref().and_then(boundary);
    let mut media_type = match &media {
        Some(media) => known_media_type(media),
        None if in_digest => Cow::Borrowed("message/rfc822"),
        None => Cow::Borrowed("text/plain"),
    };
    let mut kind = if media_type.starts_with("multipart/") {
        Kind::Multipart
    } else if matches!(&*media_type, "message/rfc822" | "message/global") {
        Kind::Message
    } else {
        Kind::Leaf
    };
    if kind == Kind::Multipart && boundary.is_none() {
        // Without a boundary the field is not valid: RFC 2045 §5.2 says text/plain.
        kind = Kind::Leaf;
        media_type = Cow::Borrowed("text/plain");
    }
    if kind == Kind::Message && matches!(encoding, Encoding::Base64 | Encoding::QuotedPrintable) {
        // Its offsets would be those of encoded text (RFC 2046 §5.2.1 forbids it).
        kind = Kind::Leaf;
    }
    let charset = media
        .as_ref()
        .and_then(|media| joined(&media.parameters, b"charset"));
    Content {
        kind,
        media_type,
        charset: charset.map(|(name, _)| known_charset(&name)),
        encoding,
        boundary,
        is_attachment,
    }
}

/// `type "/" subtype *(";" parameter)`; `None` if it is not (RFC 2045 §5.1).
pub(crate) fn media_type(text: &[u8]) -> Option<Value> {
    let value = value(text);
    (!value.main.is_empty() && !value.subtype.is_empty()).then_some(value)
}

fn boundary(media: &Value) -> Option<Box<[u8]>> {
    let (boundary, _) = joined(&media.parameters, b"boundary")?;
    let boundary = boundary.trim_ascii_end();
    (!boundary.is_empty()).then(|| boundary.into())
}

fn known_media_type(media: &Value) -> Cow<'static, str> {
    let length = media.main.len();
    for known in MEDIA_TYPES {
        let bytes = known.as_bytes();
        if bytes.len() == length + 1 + media.subtype.len()
            && bytes[length] == b'/'
            && bytes[..length].eq_ignore_ascii_case(&media.main)
            && bytes[length + 1..].eq_ignore_ascii_case(&media.subtype)
        {
            return Cow::Borrowed(known);
        }
    }
    let lower = |bytes: &[u8]| String::from_utf8_lossy(bytes).to_ascii_lowercase();
    Cow::Owned(format!("{}/{}", lower(&media.main), lower(&media.subtype)))
}

/// Names that the encoded structure holds as a number: append only.
pub(crate) const MEDIA_TYPES: [&str; 16] = [
    "text/plain",
    "text/html",
    "multipart/mixed",
    "multipart/alternative",
    "multipart/related",
    "multipart/signed",
    "multipart/report",
    "multipart/digest",
    "message/rfc822",
    "message/delivery-status",
    "application/pdf",
    "application/octet-stream",
    "application/pgp-signature",
    "image/jpeg",
    "image/png",
    "text/calendar",
];

/// As [`MEDIA_TYPES`].
pub(crate) const CHARSETS: [&str; 12] = [
    "utf-8",
    "us-ascii",
    "iso-8859-1",
    "iso-8859-15",
    "windows-1252",
    "windows-1251",
    "koi8-r",
    "iso-2022-jp",
    "gb2312",
    "gbk",
    "big5",
    "utf-7",
];

fn known_charset(name: &[u8]) -> Cow<'static, str> {
    let name = name.trim_ascii();
    match CHARSETS
        .iter()
        .find(|known| name.eq_ignore_ascii_case(known.as_bytes()))
    {
        Some(known) => Cow::Borrowed(known),
        None => Cow::Owned(String::from_utf8_lossy(name).to_ascii_lowercase()),
    }
}

/// The word of a Content-Transfer-Encoding field; empty if there is none.
pub(crate) fn encoding_name(text: &[u8]) -> Vec<u8> {
    Scanner { rest: text }.word(b"/;")
}

pub(crate) fn encoding_of(name: &[u8]) -> Encoding {
    let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
    match () {
        _ if name.is_empty() || is("7bit") => Encoding::SevenBit,
        _ if is("8bit") => Encoding::EightBit,
        _ if is("binary") => Encoding::Binary,
        _ if is("quoted-printable") => Encoding::QuotedPrintable,
        _ if is("base64") => Encoding::Base64,
        _ => Encoding::Unknown,
    }
}

/// Reads a value with parameters, tolerantly: `main ["/" subtype] *(";" name "=" value)`.
pub(crate) fn value(text: &[u8]) -> Value {
    let mut scanner = Scanner { rest: text };
    let mut value = Value {
        main: scanner.word(b"/;"),
        ..Value::default()
    };
    if scanner.next_is(b'/') {
        value.subtype = scanner.word(b";");
    } else if let Some(slash) = memchr(b'/', &value.main) {
        // `"application/pdf"`: quoted as one word.
        value.subtype = value.main.split_off(slash + 1);
        value.main.truncate(slash);
    }
    loop {
        scanner.skip_to(b';');
        if !scanner.next_is(b';') {
            return value;
        }
        let name = scanner.word(b"=;");
        if scanner.next_is(b'=') {
            let content = scanner.parameter_value();
            if !name.is_empty() {
                value.parameters.push((name, content));
            }
            if value.parameters.len() >= ITEMS_MAX {
                return value;
            }
        }
    }
}

/// The words of a list separated by commas, without comments (RFC 3282).
pub(crate) fn words(text: &[u8]) -> Vec<Vec<u8>> {
    let mut scanner = Scanner { rest: text };
    let mut words = Vec::new();
    while !scanner.rest.is_empty() && words.len() < ITEMS_MAX {
        let word = scanner.word(b",");
        if !word.is_empty() {
            words.push(word);
        }
        scanner.skip_to(b',');
        scanner.next_is(b',');
    }
    words
}

struct Scanner<'a> {
    rest: &'a [u8],
}

impl Scanner<'_> {
    /// Takes white space and comments (RFC 5322 §3.2.2: CFWS).
    fn skip_space(&mut self) {
        let mut depth = 0_u64;
        let mut at = 0;
        while let Some(&byte) = self.rest.get(at) {
            match byte {
                b'(' => depth += 1,
                b')' if depth > 0 => depth -= 1,
                b'\\' if depth > 0 => at += 1,
                b' ' | b'\t' | b'\r' | b'\n' => {}
                _ if depth > 0 => {}
                _ => break,
            }
            at += 1;
        }
        self.rest = &self.rest[at.min(self.rest.len())..];
    }

    fn next_is(&mut self, byte: u8) -> bool {
        self.skip_space();
        let found = self.rest.first() == Some(&byte);
        if found {
            self.rest = &self.rest[1..];
        }
        found
    }

    /// Takes everything before this octet.
    fn skip_to(&mut self, byte: u8) {
        self.rest = &self.rest[memchr(byte, self.rest).unwrap_or(self.rest.len())..];
    }

    /// Takes a token, or a quoted string in its place.
    fn word(&mut self, end: &[u8]) -> Vec<u8> {
        self.skip_space();
        if self.rest.first() == Some(&b'"') {
            return self.quoted();
        }
        let stop = |byte: &u8| byte.is_ascii_whitespace() || *byte == b'(' || end.contains(byte);
        let length = self.rest.iter().position(stop).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(length);
        self.rest = rest;
        word.to_vec()
    }

    /// Takes what follows `=`: a quoted string, or everything up to a semicolon or a line break
    /// that is not white space at the end, because unquoted file names have spaces.
    fn parameter_value(&mut self) -> Vec<u8> {
        self.skip_space();
        if self.rest.first() == Some(&b'"') {
            return self.quoted();
        }
        let length = self
            .rest
            .iter()
            .position(|byte| matches!(byte, b';' | b'('))
            .unwrap_or(self.rest.len());
        let (value, rest) = self.rest.split_at(length);
        self.rest = rest;
        header::unfold(value).into_owned()
    }

    fn quoted(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut at = 1;
        while let Some(&byte) = self.rest.get(at) {
            match byte {
                b'"' => break,
                b'\\' => {
                    at += 1;
                    out.extend(self.rest.get(at));
                }
                b'\r' | b'\n' => {}
                _ => out.push(byte),
            }
            at += 1;
        }
        self.rest = &self.rest[(at + 1).min(self.rest.len())..];
        out
    }
}

pub(crate) fn strip_prefix_no_case<'a>(bytes: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    let (head, tail) = bytes.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(tail)
}

/// A parameter put together from its pieces: `name`, `name*`, `name*0`, `name*1*`…
/// (RFC 2231 §3, §4), and its charset if it gives one.
pub(crate) fn joined(parameters: &[Parameter], name: &[u8]) -> Option<(Vec<u8>, Option<String>)> {
    let mut pieces: Vec<(u32, bool, &[u8])> = Vec::new();
    let mut plain = None;
    for (key, value) in parameters {
        let Some(suffix) = strip_prefix_no_case(key, name) else {
            continue;
        };
        match suffix {
            b"" => plain = plain.or(Some(value)),
            b"*" => pieces.push((0, true, value)),
            [b'*', number @ ..] => {
                let number_end = number.strip_suffix(b"*");
                let digits = number_end.unwrap_or(number);
                let number = std::str::from_utf8(digits)
                    .ok()
                    .and_then(|text| text.parse().ok());
                if let Some(number) = number {
                    pieces.push((number, number_end.is_some(), value));
                }
            }
            _ => {}
        }
    }
    pieces.sort_by_key(|&(number, ..)| number);
    pieces.dedup_by_key(|&mut (number, ..)| number);
    let mut out = Vec::new();
    let mut charset = None;
    for (index, (number, is_encoded, value)) in pieces.into_iter().enumerate() {
        if number as usize != index {
            break;
        }
        let mut value = value;
        if index == 0 && is_encoded {
            // `charset'language'text`
            let mut split = value.splitn(3, |&byte| byte == b'\'');
            if let (Some(name), Some(_), Some(text)) = (split.next(), split.next(), split.next()) {
                charset = Some(String::from_utf8_lossy(name).to_ascii_lowercase());
                value = text;
            }
        }
        if is_encoded {
            percent_decode(value, &mut out)
        } else {
            out.extend_from_slice(value)
        }
    }
    if out.is_empty() {
        plain.map(|value| (value.clone(), None))
    } else {
        Some((out, charset))
    }
}

/// The parameters with the pieces of RFC 2231 §3 put together, as §6 asks of BODYSTRUCTURE: `name*0`, `name*1`…
/// become `name`, or `name*` with the charset and the percent signs if a piece was encoded.
///
/// What is not all there stays as it stands, and so do pieces beside a parameter that has their name whole.
pub(crate) fn with_pieces_joined(parameters: Vec<Parameter>) -> Vec<Parameter> {
    if !parameters.iter().any(|(name, _)| piece(name).is_some()) {
        return parameters;
    }
    let mut pieces: BTreeMap<Vec<u8>, Vec<(u32, bool, usize)>> = BTreeMap::new();
    let mut whole = BTreeSet::new();
    for (index, (name, _)) in parameters.iter().enumerate() {
        match piece(name) {
            Some((base, number, is_encoded)) => pieces
                .entry(base.to_ascii_lowercase())
                .or_default()
                .push((number, is_encoded, index)),
            None => {
                let base = name.strip_suffix(b"*").unwrap_or(name);
                whole.insert(base.to_ascii_lowercase());
            }
        }
    }
    let mut out: Vec<Option<Parameter>> = parameters.into_iter().map(Some).collect();
    for (base, mut group) in pieces {
        group.sort_unstable();
        let in_order = (0..).zip(&group).all(|(at, &(number, ..))| at == number);
        if !in_order || whole.contains(&base) {
            continue;
        }
        let values: Vec<(bool, &[u8])> = group
            .iter()
            .filter_map(|&(_, is_encoded, index)| {
                let (_, value) = out[index].as_ref()?;
                Some((is_encoded, &value[..]))
            })
            .collect();
        let Some((is_extended, value)) = join(&values) else {
            continue;
        };
        let place = group.iter().map(|&(.., index)| index).min().unwrap_or(0);
        let mut name = out[place].take().map(|(name, _)| name).unwrap_or_default();
        name.truncate(base.len());
        if is_extended {
            name.push(b'*');
        }
        for &(.., index) in &group {
            out[index] = None;
        }
        out[place] = Some((name, value));
    }
    out.into_iter().flatten().collect()
}

/// `name*number` and `name*number*` (RFC 2231 §7); the last says whether the value is encoded.
fn piece(name: &[u8]) -> Option<(&[u8], u32, bool)> {
    let without = name.strip_suffix(b"*");
    let rest = without.unwrap_or(name);
    let star = rest.iter().rposition(|&byte| byte == b'*')?;
    let (base, digits) = (&rest[..star], &rest[star + 1..]);
    let is_number =
        digits == b"0" || (!digits.starts_with(b"0") && digits.iter().all(u8::is_ascii_digit));
    if base.is_empty() || !is_number {
        return None;
    }
    let number = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some((base, number, without.is_some()))
}

/// The value of all pieces, and whether it is an extended one: `charset'language'text`. `None` if they make none.
fn join(pieces: &[(bool, &[u8])]) -> Option<(bool, Vec<u8>)> {
    let is_extended = pieces.iter().any(|&(is_encoded, _)| is_encoded);
    let mut out = Vec::new();
    for (at, &(is_encoded, value)) in pieces.iter().enumerate() {
        match (at, is_encoded) {
            // Charset and language are in the first piece or nowhere.
            (0, true) if value.iter().filter(|&&byte| byte == b'\'').count() < 2 => return None,
            (0, false) if is_extended => out.extend_from_slice(b"''"),
            _ => {}
        }
        if is_encoded || !is_extended {
            out.extend_from_slice(value);
        } else {
            percent_encode(value, &mut out);
        }
    }
    Some((is_extended, out))
}

/// Leaves only `attribute-char` (RFC 2231 §7) as it is.
fn percent_encode(text: &[u8], out: &mut Vec<u8>) {
    for &byte in text {
        if byte.is_ascii_graphic() && !b"*'%()<>@,;:\\\"/[]?=".contains(&byte) {
            out.push(byte);
        } else {
            let digit = |value: u8| b"0123456789ABCDEF"[usize::from(value)];
            out.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
}

fn percent_decode(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match (byte, tail) {
            (b'%', [high, low, after @ ..]) => match transfer::hex(*high, *low) {
                Some(octet) => {
                    out.push(octet);
                    rest = after;
                }
                None => out.push(byte),
            },
            _ => out.push(byte),
        }
    }
}

impl Message {
    /// The file name of the part with this index in [`Structure::parts`](crate::Structure::parts),
    /// decoded (RFC 2183, RFC 2231; RFC 2047 words too, because mail has them).
    pub fn filename(&self, index: usize) -> Option<String> {
        let header = self.header_of(index);
        let name = |field: &[u8], parameter: &[u8]| {
            let value = value(header::field(header, field)?.value);
            let (octets, charset) = joined(&value.parameters, parameter)?;
            Some(match charset {
                Some(charset) => convert(&charset, &octets),
                None => decode_header(&octets),
            })
        };
        name(b"content-disposition", b"filename").or_else(|| name(b"content-type", b"name"))
    }
}

#[cfg(test)]
mod tests {
    use super::{value, with_pieces_joined};
    use crate::parse;

    #[test]
    fn pieces_of_parameters_are_joined() {
        let cases = [
            ("a=1; b=2", "a=1 b=2"),
            ("n*0=x; n*1=\"y z\"; k=v", "n=xy z k=v"),
            // In whatever order, with whatever case, between others.
            ("k=v; N*1=y; l=w; n*2=z; n*0=x", "k=v N=xyz l=w"),
            // RFC 2231 §4.1
            (
                "t*0*=us-ascii'en'even%20more%20; t*1*=%2A%2A; t*2=\"isn't it!\"",
                "t*=us-ascii'en'even%20more%20%2A%2Aisn%27t%20it!",
            ),
            ("t*0=a%; t*1*=b%25", "t*=''a%25b%25"),
            // One piece alone, and ones that are whole already.
            ("n*0=x", "n=x"),
            ("n*0*=utf-8''%C3%BC", "n*=utf-8''%C3%BC"),
            ("n*=utf-8''%C3%BC", "n*=utf-8''%C3%BC"),
            // What is not all there, or there twice, stays.
            ("n*1=x; n*2=y", "n*1=x n*2=y"),
            ("n*0=x; n*2=y", "n*0=x n*2=y"),
            ("n*0=x; n*0=y", "n*0=x n*0=y"),
            ("n*0=x; n*01=y", "n=x n*01=y"),
            ("n*0=x; n=y", "n*0=x n=y"),
            ("n*0=x; n*=''y", "n*0=x n*=''y"),
            ("n*0*=x; n*1=y", "n*0*=x n*1=y"),
            ("*0=x; n*x=y; n*=z; n**=w", "*0=x n*x=y n*=z n**=w"),
            ("n*99999999999=x", "n*99999999999=x"),
        ];
        for (given, expected) in cases {
            let parameters = value(format!("x; {given}").as_bytes()).parameters;
            let shown: Vec<String> = with_pieces_joined(parameters)
                .iter()
                .map(|(name, value)| {
                    let (name, value) = (
                        String::from_utf8_lossy(name),
                        String::from_utf8_lossy(value),
                    );
                    format!("{name}={value}")
                })
                .collect();
            assert_eq!(shown.join(" "), expected, "{given}");
        }
    }

    #[test]
    fn file_names() {
        let cases = [
            ("attachment; filename=a.txt", Some("a.txt")),
            (
                "attachment; filename=\"a \\\"b\\\".txt\"",
                Some("a \"b\".txt"),
            ),
            ("attachment; filename=a b c.txt; size=3", Some("a b c.txt")),
            // RFC 2231 §3, §4, §4.1
            (
                "x; filename*0=\"ftp://\";\r\n filename*1=\"cs.utk.edu\"",
                Some("ftp://cs.utk.edu"),
            ),
            (
                "x; filename*=us-ascii'en-us'This%20is%20%2A%2A%2Afun%2A%2A%2A",
                Some("This is ***fun***"),
            ),
            (
                "x; filename*0*=us-ascii'en'This%20is%20even%20more%20;\r\n \
                 filename*1*=%2A%2A%2Afun%2A%2A%2A%20;\r\n filename*2=\"isn't it!\"",
                Some("This is even more ***fun*** isn't it!"),
            ),
            ("x; filename*1*=b; filename*0*=iso-8859-1''%FC", Some("üb")),
            (
                "x; filename*0*=utf-8''%e2%82; filename*1*=%ac; filename*3=no",
                Some("€"),
            ),
            ("x; filename=\"=?utf-8?Q?=C3=BC?=\"", Some("ü")),
            ("x; filename*4294967296=a; filename*=b", Some("b")),
            ("x", None),
        ];
        for (value, expected) in cases {
            let message = parse(format!("Content-Disposition: {value}\r\n\r\n").as_bytes());
            assert_eq!(message.filename(0).as_deref(), expected, "{value}");
        }
        let message = parse(b"Content-Type: image/png; name=x.png\r\n\r\n");
        assert_eq!(message.filename(0).as_deref(), Some("x.png"));
    }
}
