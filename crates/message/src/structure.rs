//! The part tree of a message: offsets, and the sections that IMAP names by them.

use std::borrow::Cow;
use std::ops::Range;

/// What a part is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Content without parts of its own, also opaque for a limit or an encoding.
    Leaf,
    /// multipart/*: at least one child.
    Multipart,
    /// message/rfc822 or message/global, in an identity encoding: exactly one child, the embedded
    /// message.
    Message,
}

/// Content-Transfer-Encoding (RFC 2045 §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// `7bit`, also when the field is absent.
    SevenBit,
    /// `8bit`.
    EightBit,
    /// `binary`.
    Binary,
    /// `quoted-printable`.
    QuotedPrintable,
    /// `base64`.
    Base64,
    /// Anything else: BINARY of such a part is refused with `[UNKNOWN-CTE]` (RFC 9051 §6.4.5).
    Unknown,
}

impl Encoding {
    /// Whether the encoded form is the content itself.
    pub fn is_identity(self) -> bool {
        matches!(
            self,
            Encoding::SevenBit | Encoding::EightBit | Encoding::Binary
        )
    }
}

/// One MIME part, or a message (the outermost one or an embedded one).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The header in octets of the whole message, the blank line at its end included.
    pub header: Range<u64>,
    /// The content in octets of the whole message, still encoded. The line break before a
    /// delimiter belongs to the delimiter (RFC 2046 §5.1.1).
    pub body: Range<u64>,
    /// Line feeds within `body`.
    pub lines: u64,
    /// What it is made of.
    pub kind: Kind,
    /// How the body is encoded.
    pub encoding: Encoding,
    /// `type/subtype` in lower case, defaults applied.
    pub media_type: Cow<'static, str>,
    /// The charset parameter in lower case, if there is one.
    pub charset: Option<Cow<'static, str>>,
    /// Index after the last descendant in [`Structure::parts`].
    pub(crate) end: u32,
}

impl Part {
    /// Whether it is text to read: a leaf of type text/*.
    pub fn is_text(&self) -> bool {
        self.kind == Kind::Leaf && self.media_type.starts_with("text/")
    }

    /// Whether its body is searched: text, and what reports say (message/delivery-status,
    /// message/disposition-notification, message/feedback-report and their like).
    pub(crate) fn is_searched(&self) -> bool {
        self.is_text() || (self.kind == Kind::Leaf && self.media_type.starts_with("message/"))
    }

    /// Octets of the body as it is encoded.
    pub fn octets(&self) -> u64 {
        self.body.end - self.body.start
    }
}

/// Which octets of a part a section specifier names (RFC 9051 §6.4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SectionText {
    /// No text specifier: the body of the part; the whole message for an empty path.
    Whole,
    /// `HEADER`, and the source of `HEADER.FIELDS`: the header of a message.
    Header,
    /// `TEXT`: the body of a message.
    Text,
    /// `MIME`: the header of a part.
    Mime,
}

/// The part tree of one message, in the order of the octets (every part before its children).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Structure {
    pub(crate) parts: Vec<Part>,
    pub(crate) size: u64,
}

impl Structure {
    /// Octets of the message.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// All parts, preorder. The first is the message itself; it always exists.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The message itself.
    pub fn root(&self) -> &Part {
        &self.parts[0]
    }

    /// Indexes in [`Structure::parts`] of the children of the part with this index.
    pub fn children(&self, index: usize) -> impl Iterator<Item = usize> + '_ {
        let end = self.parts.get(index).map_or(0, |part| part.end as usize);
        let mut next = index + 1;
        std::iter::from_fn(move || {
            let child = next;
            if child >= end {
                return None;
            }
            next = self.parts[child].end as usize;
            Some(child)
        })
    }

    /// The part that a section path names, e.g. `[3, 1]` for `BODY[3.1]`; `None` if there is none.
    ///
    /// The empty path is the message. A message that is not a multipart has one part, 1: itself.
    pub fn part(&self, path: &[u32]) -> Option<&Part> {
        self.index(path).map(|index| &self.parts[index])
    }

    /// As [`Structure::part`], as an index in [`Structure::parts`].
    pub fn index(&self, path: &[u32]) -> Option<usize> {
        let mut at = 0;
        // Whether `at` was reached as a message (its parts may be numbered) or as a part.
        let mut is_message = true;
        for &number in path {
            if !is_message && self.parts[at].kind == Kind::Message {
                at += 1;
                is_message = true;
            }
            let nth = usize::try_from(number.checked_sub(1)?).ok()?;
            if self.parts[at].kind == Kind::Multipart {
                at = self.children(at).nth(nth)?;
            } else if !is_message || nth != 0 {
                return None;
            }
            is_message = false;
        }
        Some(at)
    }

    /// The octets of the message that a section names; `None` if the message has no such section.
    ///
    /// `HEADER` and `TEXT` exist for the message and for message/rfc822 parts only, `MIME` for
    /// parts only (RFC 9051 §6.4.5).
    pub fn section(&self, path: &[u32], text: SectionText) -> Option<Range<u64>> {
        let index = self.index(path)?;
        let part = &self.parts[index];
        match text {
            SectionText::Whole if path.is_empty() => Some(0..self.size),
            SectionText::Whole => Some(part.body.clone()),
            SectionText::Mime if path.is_empty() => None,
            SectionText::Mime => Some(part.header.clone()),
            SectionText::Header | SectionText::Text => {
                let message = if path.is_empty() {
                    part
                } else if part.kind == Kind::Message {
                    self.parts.get(index + 1)?
                } else {
                    return None;
                };
                Some(match text {
                    SectionText::Header => message.header.clone(),
                    _ => message.body.clone(),
                })
            }
        }
    }
}
