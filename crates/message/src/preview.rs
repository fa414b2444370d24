//! A preview of the text of a message (RFC 8970).

use crate::charset::TextDecoder;
use crate::message::Message;

/// Characters of a preview (RFC 8970 §3.1 allows 200).
const PREVIEW_MAX: usize = 200;
/// Octets decoded at once.
const STEP: usize = 512;

impl Message {
    /// The first 200 characters of the first text that is not blank, in one line, without HTML.
    /// Empty if there is none. What is quoted of another message is left out, unless there is
    /// nothing else.
    pub fn preview(&self) -> String {
        for capture in &self.captures {
            let part = &self.structure.parts[capture.part];
            let mut text = String::new();
            let mut decoder = TextDecoder::for_part(part);
            let mut preview = Preview::default();
            let mut quoted = Preview::default();
            if part.media_type == "text/html" {
                decoder.push(&capture.bytes, &mut text);
                decoder.finish(&mut text);
                html_text(&text, &mut preview, &mut quoted);
            } else {
                let mut lines = Lines::default();
                let mut push = |character| match lines.is_quoted(character) {
                    true => {
                        quoted.push(character);
                        false
                    }
                    false => preview.push(character),
                };
                // Little of it is needed, unless it is mostly white space or quotation.
                let mut pieces = capture.bytes.chunks(STEP);
                let is_full = pieces.any(|piece| {
                    text.clear();
                    decoder.push(piece, &mut text);
                    text.chars().any(&mut push)
                });
                if !is_full {
                    text.clear();
                    decoder.finish(&mut text);
                    text.chars().any(&mut push);
                }
            }
            for text in [preview.text, quoted.text] {
                if !text.is_empty() {
                    return text;
                }
            }
        }
        String::new()
    }
}

/// A line of text being put together.
#[derive(Default)]
struct Preview {
    text: String,
    length: usize,
    space: bool,
}

impl Preview {
    /// Adds a character; true when there is no room for more.
    fn push(&mut self, character: char) -> bool {
        if character.is_whitespace() || character.is_control() {
            self.space = !self.text.is_empty();
            return false;
        }
        // Marketing mail hides its end with invisible characters.
        if matches!(
            character,
            '\u{ad}' | '\u{34f}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}' | '\u{fffd}'
        ) {
            return false;
        }
        let wanted = if self.space { 2 } else { 1 };
        if self.length + wanted > PREVIEW_MAX {
            return true;
        }
        if self.space {
            self.text.push(' ');
        }
        self.space = false;
        self.text.push(character);
        self.length += wanted;
        false
    }
}

/// Tells the lines that are quoted: those that begin with `>`.
#[derive(Default)]
struct Lines {
    is_inside: bool,
    is_quoted: bool,
}

impl Lines {
    fn is_quoted(&mut self, character: char) -> bool {
        if !self.is_inside {
            self.is_quoted = character == '>';
        }
        self.is_inside = character != '\n';
        self.is_quoted
    }
}

/// Adds the text of HTML: no tags, no comments, no style, script or title. What stands in a
/// `blockquote` goes to `quoted`.
fn html_text(html: &str, preview: &mut Preview, quoted: &mut Preview) {
    let mut rest = html;
    let mut depth = 0_u32;
    let mut push = |character, depth| match depth {
        0 => preview.push(character),
        _ => {
            quoted.push(character);
            false
        }
    };
    while let Some(character) = rest.chars().next() {
        let full = match character {
            '<' => {
                if is_tag(rest, "<blockquote") {
                    depth = depth.saturating_add(1);
                } else if is_tag(rest, "</blockquote") {
                    depth = depth.saturating_sub(1);
                }
                rest = after_tag(rest);
                // Any tag may stand between words; one inside a word is rare enough.
                push(' ', 0) || push(' ', 1)
            }
            '&' => {
                let (character, after) = entity(rest);
                rest = after;
                push(character, depth)
            }
            _ => {
                rest = &rest[character.len_utf8()..];
                push(character, depth)
            }
        };
        if full {
            return;
        }
    }
}

fn is_tag(html: &str, tag: &str) -> bool {
    let name = html.get(..tag.len());
    name.is_some_and(|name| name.eq_ignore_ascii_case(tag))
}

/// What follows a tag, or an element whose content is not text.
fn after_tag(html: &str) -> &str {
    if let Some(comment) = html.strip_prefix("<!--") {
        return comment.find("-->").map_or("", |at| &comment[at + 3..]);
    }
    let name = html[1..]
        .split(|character: char| !character.is_ascii_alphanumeric())
        .next();
    let after = html.find('>').map_or("", |at| &html[at + 1..]);
    for hidden in ["style", "script", "title"] {
        if name.is_some_and(|name| name.eq_ignore_ascii_case(hidden)) {
            return after_end_tag(after, hidden);
        }
    }
    after
}

/// What follows `</name`; nothing if it never comes.
fn after_end_tag<'a>(html: &'a str, name: &str) -> &'a str {
    let mut at = 0;
    while let Some(found) = html[at..].find("</") {
        at += found + 2;
        if html
            .get(at..at + name.len())
            .is_some_and(|found| found.eq_ignore_ascii_case(name))
        {
            return html[at..].find('>').map_or("", |end| &html[at + end + 1..]);
        }
    }
    ""
}

/// The character of an entity, and what follows it; the ampersand itself if it is none.
fn entity(html: &str) -> (char, &str) {
    let body = &html[1..];
    let end = body.bytes().take(12).position(|byte| byte == b';');
    let character = end.and_then(|end| {
        let name = body.get(..end)?;
        let number = |digits: &str, radix| char::from_u32(u32::from_str_radix(digits, radix).ok()?);
        Some(match name {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            "nbsp" | "ensp" | "emsp" | "thinsp" => ' ',
            "zwnj" => '\u{200c}',
            "shy" => '\u{ad}',
            "ndash" => '–',
            "mdash" => '—',
            "hellip" => '…',
            "lsquo" => '‘',
            "rsquo" => '’',
            "ldquo" => '“',
            "rdquo" => '”',
            "euro" => '€',
            "copy" => '©',
            "auml" => 'ä',
            "ouml" => 'ö',
            "uuml" => 'ü',
            "Auml" => 'Ä',
            "Ouml" => 'Ö',
            "Uuml" => 'Ü',
            "szlig" => 'ß',
            "eacute" => 'é',
            "egrave" => 'è',
            "agrave" => 'à',
            "ccedil" => 'ç',
            _ => match name.strip_prefix("#x").or_else(|| name.strip_prefix("#X")) {
                Some(digits) => number(digits, 16)?,
                None => number(name.strip_prefix('#')?, 10)?,
            },
        })
    });
    match (character, end) {
        (Some(character), Some(end)) => (character, &body[end + 1..]),
        _ => ('&', body),
    }
}

#[cfg(test)]
mod tests {
    use crate::parse;

    fn preview(message: &str) -> String {
        parse(message.as_bytes()).preview()
    }

    #[test]
    fn known_answers() {
        let html = "Content-Type: text/html; charset=utf-8\r\n\r\n";
        let cases = [
            (
                "\r\nHello,\r\n\r\n  how   are\tyou?\r\n".to_owned(),
                "Hello, how are you?",
            ),
            (
                format!(
                    "{html}<html><head><title>x</title><style>b{{}}</style></head>\
                     <body><!-- c --><p>A &amp; B&nbsp;&#8364; &#x41;<br>C&bogus; &</p>"
                ),
                "A & B € A C&bogus; &",
            ),
            (format!("{html}<head><p>no end of head"), "no end of head"),
            (
                "Content-Type: text/plain; charset=iso-8859-1\r\n\
                 Content-Transfer-Encoding: quoted-printable\r\n\r\nGr=FC=\r\n=DFe\r\n"
                    .to_owned(),
                "Grüße",
            ),
            (
                "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\
                 Content-Disposition: attachment\r\n\r\nnot this\r\n--b\r\n\r\n \r\n\
                 --b\r\n\r\nthis\r\n--b--\r\n"
                    .to_owned(),
                "this",
            ),
            // Quotations, above, below and between; alone they are better than nothing.
            ("\r\n> a\r\n>> b\r\n\r\nbelow\r\n".to_owned(), "below"),
            (
                "\r\nabove\r\n>a\r\nand\r\n> b\r\nbelow".to_owned(),
                "above and below",
            ),
            ("\r\n1 > 0\r\n > x\r\n".to_owned(), "1 > 0 > x"),
            ("\r\n> all\r\n> quoted".to_owned(), "> all > quoted"),
            (format!("\r\n{}new", "> old\r\n".repeat(300)), "new"),
            (
                format!(
                    "{html}new<BlockQuote class=x>old<blockquote>older</blockquote>old</blockquote>end"
                ),
                "new end",
            ),
            (format!("{html}<blockquote>all of it"), "all of it"),
            (format!("{html}</blockquote>a</blockquote>"), "a"),
            ("Content-Type: image/png\r\n\r\nxyz".to_owned(), ""),
            (String::new(), ""),
        ];
        for (message, expected) in cases {
            assert_eq!(preview(&message), expected, "{message}");
        }
    }

    #[test]
    fn a_preview_is_short_and_cheap() {
        assert_eq!(
            preview(&format!("\r\n{}", "é".repeat(100_000)))
                .chars()
                .count(),
            200
        );
        for piece in [
            "<",
            "&",
            "<blockquote>",
            "<!--",
            "<style>",
            "</",
            "<head>",
            "&#",
        ] {
            preview(&format!(
                "Content-Type: text/html\r\n\r\n{}",
                piece.repeat(100_000)
            ));
        }
    }
}
