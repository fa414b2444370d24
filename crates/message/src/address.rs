//! Address lists, as they should be and as they are (RFC 5322 §3.4, §4.4).

use memchr::memrchr;

/// One address or group marker, in the terms of ENVELOPE (RFC 9051 §7.5.2).
///
/// A group begins with a marker whose host is `None` and whose mailbox is the group's name, and
/// ends with one that has neither. A part that is missing in an address is the empty string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address<'a> {
    /// The display name without quoting, encoded words as they stand; a comment if there is none.
    pub name: Option<&'a [u8]>,
    /// The source route (`obs-route` without its colon).
    pub route: Option<&'a [u8]>,
    /// The local part without quoting, or the group's name.
    pub mailbox: Option<&'a [u8]>,
    /// The domain, or `None` for a group marker.
    pub host: Option<&'a [u8]>,
}

/// Reads an address list, calling `each` in order until it returns false.
///
/// Reads whatever is there, in time proportional to its length: missing commas, brackets,
/// domains and quotes, semicolons for commas, comments anywhere.
pub fn addresses(text: &[u8], each: &mut dyn FnMut(Address<'_>) -> bool) {
    AddressReader::default().read(text, each);
}

/// Reads address lists; the buffers are used again for the next.
#[derive(Default)]
pub(crate) struct AddressReader {
    element: Element,
    word: Vec<u8>,
}

impl AddressReader {
    /// As [`addresses`].
    pub(crate) fn read(&mut self, text: &[u8], each: &mut dyn FnMut(Address<'_>) -> bool) {
        let element = &mut self.element;
        element.clear();
        let mut list = List {
            each,
            element,
            in_group: false,
            stopped: false,
        };
        let mut scanner = Scanner {
            text,
            at: 0,
            word: &mut self.word,
            no_quote_ends: false,
            no_literal_ends: false,
        };
        while !list.stopped {
            let (token, space) = scanner.next();
            match token {
                Token::End => break,
                Token::Comment if list.element.place.is_in_angle() => {}
                Token::Comment => list.element.comment.clone_from(scanner.word),
                Token::Word => list.element.word(scanner.word, space),
                Token::Special(special) => list.special(special),
            }
        }
        list.end_element();
        list.end_group();
    }
}

/// Where in an address the next word belongs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// The phrase, or the local part if `@` follows.
    #[default]
    Phrase,
    /// The domain of an address without brackets.
    Domain,
    /// After `<@`, up to the colon.
    AngleRoute,
    /// After `<`.
    AngleLocal,
    /// The domain, after `<`.
    AngleDomain,
    /// After `>`, or words after a domain.
    After,
}

impl Place {
    /// Between `<` and `>`, where a comment is not somebody's name.
    fn is_in_angle(self) -> bool {
        matches!(
            self,
            Place::AngleRoute | Place::AngleLocal | Place::AngleDomain
        )
    }
}

/// One address as it is put together; the buffers are used again for the next.
#[derive(Default)]
struct Element {
    place: Place,
    is_angle: bool,
    /// All words, with one space between those that had white space between them.
    phrase: Vec<u8>,
    words: u32,
    /// The local part: in a phrase its last words that belong together, beginning at
    /// `local_start`.
    local: Vec<u8>,
    local_start: usize,
    route: Vec<u8>,
    domain: Vec<u8>,
    after: Vec<u8>,
    comment: Vec<u8>,
}

impl Element {
    fn clear(&mut self) {
        self.place = Place::Phrase;
        self.is_angle = false;
        self.words = 0;
        self.local_start = 0;
        for text in [
            &mut self.phrase,
            &mut self.local,
            &mut self.route,
            &mut self.domain,
            &mut self.after,
            &mut self.comment,
        ] {
            text.clear();
        }
    }

    fn word(&mut self, word: &[u8], space: bool) {
        // `a . b` is one local part (RFC 5322 §4.4, obs-local-part).
        let apart = |text: &[u8]| {
            space && !text.is_empty() && !text.ends_with(b".") && !word.starts_with(b".")
        };
        match self.place {
            Place::Phrase => {
                if apart(&self.local) {
                    self.local.clear();
                    self.local_start = self.phrase.len();
                }
                self.local.extend_from_slice(word);
                push_word(&mut self.phrase, word, space);
                self.words = self.words.saturating_add(1);
            }
            // In brackets it is the `>` that is missing.
            Place::Domain | Place::AngleDomain if apart(&self.domain) => {
                self.place = Place::After;
                self.after.extend_from_slice(word);
            }
            Place::Domain | Place::AngleDomain => self.domain.extend_from_slice(word),
            Place::AngleRoute => self.route.extend_from_slice(word),
            Place::AngleLocal => {
                let space = apart(&self.local);
                push_word(&mut self.local, word, space);
            }
            Place::After => push_word(&mut self.after, word, space),
        }
    }

    /// The address that was read, if there is any.
    fn address(&self) -> Option<Address<'_>> {
        let mut name = &self.phrase[..];
        let mut mailbox = &self.local[..];
        let mut host = &self.domain[..];
        if !self.is_angle {
            match (self.place, self.words) {
                (Place::Phrase, 0) => return None,
                (Place::Phrase, 1) => name = b"",
                (Place::Phrase, _) => mailbox = b"",
                _ => name = &self.phrase[..self.local_start],
            }
        }
        let mut route = &self.route[..];
        if self.place == Place::AngleRoute {
            // `<@host>`: no local part, no route.
            (host, route) = (route.strip_prefix(b"@").unwrap_or(route), b"");
        }
        let non_empty = |text: &'_ [u8]| !text.trim_ascii().is_empty();
        let name = [name, &self.after, &self.comment]
            .into_iter()
            .find(|text| non_empty(text));
        Some(Address {
            name: name.map(<[u8]>::trim_ascii),
            route: Some(route).filter(|text| non_empty(text)),
            mailbox: Some(mailbox),
            host: Some(host),
        })
    }
}

fn push_word(text: &mut Vec<u8>, word: &[u8], space: bool) {
    if space && !text.is_empty() {
        text.push(b' ');
    }
    text.extend_from_slice(word);
}

struct List<'f> {
    each: &'f mut dyn FnMut(Address<'_>) -> bool,
    element: &'f mut Element,
    in_group: bool,
    stopped: bool,
}

impl List<'_> {
    fn special(&mut self, special: u8) {
        let element = &mut *self.element;
        match (special, element.place) {
            // `<@a,@b:c@d>`
            (b',' | b'@', Place::AngleRoute) => {
                // A comma is missing.
                if special == b'@' && !element.route.ends_with(b",") {
                    element.route.push(b',');
                }
                element.route.push(special);
            }
            (b':', Place::AngleRoute) => element.place = Place::AngleLocal,
            (b',', _) => self.end_element(),
            (b';', _) => {
                self.end_element();
                self.end_group();
            }
            (b'<', _) => self.open_angle(),
            (b'>', Place::AngleLocal | Place::AngleDomain) => element.place = Place::After,
            (b'>', _) => {}
            (b'@', Place::After) if !element.after.is_empty() => self.begin_after(),
            (b'@', Place::Phrase) => element.place = Place::Domain,
            (b'@', Place::AngleLocal) if element.local.is_empty() => {
                element.place = Place::AngleRoute;
                element.route.push(b'@');
            }
            (b'@', Place::AngleLocal) => element.place = Place::AngleDomain,
            (b'@', Place::Domain | Place::AngleDomain) => {
                // Of several the last divides.
                element.local.push(b'@');
                element.local.extend_from_slice(&element.domain);
                if element.place == Place::Domain {
                    element.phrase.push(b'@');
                    element.phrase.extend_from_slice(&element.domain);
                }
                element.domain.clear();
            }
            (b':', Place::Phrase) if !self.in_group => self.begin_group(),
            _ => element.word(&[special], false),
        }
    }

    fn open_angle(&mut self) {
        let element = &mut *self.element;
        match element.place {
            Place::Phrase => {}
            Place::Domain => {
                // `a@b <c@d>`: a display name that should have been quoted.
                element.phrase.push(b'@');
                element.phrase.append(&mut element.domain);
            }
            Place::After => {
                // A comma is missing: the words after the last address name this one.
                let name = std::mem::take(&mut element.after);
                self.end_element();
                self.element.phrase = name;
            }
            Place::AngleDomain if !element.domain.is_empty() => self.end_element(),
            Place::AngleRoute | Place::AngleLocal | Place::AngleDomain => return,
        }
        self.element.local.clear();
        self.element.is_angle = true;
        self.element.place = Place::AngleLocal;
    }

    /// `a@b c@d`: a comma is missing; the last word before the second `@` is a local part.
    fn begin_after(&mut self) {
        let phrase = std::mem::take(&mut self.element.after);
        self.end_element();
        let element = &mut *self.element;
        element.local_start = memrchr(b' ', &phrase).map_or(0, |space| space + 1);
        element
            .local
            .extend_from_slice(&phrase[element.local_start..]);
        element.phrase = phrase;
        element.place = Place::Domain;
    }

    fn emit(&mut self, address: Address<'_>) {
        self.stopped = self.stopped || !(self.each)(address);
    }

    fn end_element(&mut self) {
        if self.stopped {
            return;
        }
        if let Some(address) = self.element.address() {
            self.stopped = !(self.each)(address);
        }
        self.element.clear();
    }

    fn begin_group(&mut self) {
        let name = std::mem::take(&mut self.element.phrase);
        self.element.clear();
        self.in_group = true;
        self.emit(Address {
            name: None,
            route: None,
            mailbox: Some(&name),
            host: None,
        });
    }

    fn end_group(&mut self) {
        if self.in_group {
            self.in_group = false;
            self.emit(Address {
                name: None,
                route: None,
                mailbox: None,
                host: None,
            });
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    /// An atom, a quoted string or a domain literal; its text is in `word`.
    Word,
    /// A comment; its text is in `word`.
    Comment,
    /// One of `< > @ , ; :`.
    Special(u8),
    End,
}

struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
    /// The text of the last token without its quoting.
    word: &'a mut Vec<u8>,
    /// A quoted string or domain literal was seen that does not end: no other one does.
    no_quote_ends: bool,
    no_literal_ends: bool,
}

impl Scanner<'_> {
    /// The next token, and whether white space or a comment stood before it.
    fn next(&mut self) -> (Token, bool) {
        let start = self.at;
        while let Some(byte) = self.peek() {
            if byte == b'"' {
                let quote = self.at;
                let quoted = !self.no_quote_ends && self.enclosed(b'"');
                if quoted {
                    let space = self.is_apart(start, quote);
                    return (Token::Word, space);
                }
                // It says nothing: what follows is read.
                self.no_quote_ends = true;
                self.at = quote;
            } else if !is_space(byte) {
                break;
            }
            self.at += 1;
        }
        let space = self.is_apart(start, self.at);
        let Some(byte) = self.peek() else {
            return (Token::End, space);
        };
        let token = match byte {
            b'(' => {
                self.comment();
                Token::Comment
            }
            b'[' if !self.no_literal_ends => {
                let bracket = self.at;
                if self.enclosed(b']') {
                    self.word.insert(0, b'[');
                    self.word.push(b']');
                } else {
                    self.no_literal_ends = true;
                    self.at = bracket;
                    self.atom();
                }
                Token::Word
            }
            b'<' | b'>' | b'@' | b',' | b';' | b':' => {
                self.at += 1;
                Token::Special(byte)
            }
            _ => {
                self.atom();
                Token::Word
            }
        };
        (token, space)
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn atom(&mut self) {
        let rest = &self.text[self.at..];
        // The first octet is taken in any case: it may be a stray `)` or `]`.
        let length = rest[1..].iter().position(|&byte| ends_atom(byte));
        let length = length.map_or(rest.len(), |length| length + 1);
        self.word.clear();
        self.word.extend_from_slice(&rest[..length]);
        self.at += length;
    }

    /// Whether white space or a comment stands between the last token and this one.
    fn is_apart(&self, start: usize, at: usize) -> bool {
        at > start || start == 0 || self.text[start - 1] == b')'
    }

    /// A quoted string or domain literal; false if it has no end.
    fn enclosed(&mut self, end: u8) -> bool {
        self.word.clear();
        self.at += 1;
        while let Some(byte) = self.peek() {
            self.at += 1;
            match byte {
                b'\\' => {
                    self.word.extend(self.peek());
                    self.at += 1;
                }
                b'\r' | b'\n' => {}
                _ if byte == end => return true,
                _ => self.word.push(byte),
            }
        }
        false
    }

    /// A comment with comments in it; their parentheses are kept.
    fn comment(&mut self) {
        self.word.clear();
        self.at += 1;
        let mut depth = 1_u64;
        while let Some(byte) = self.peek() {
            self.at += 1;
            match byte {
                b'\\' => {
                    self.word.extend(self.peek());
                    self.at += 1;
                    continue;
                }
                b'\r' | b'\n' => continue,
                b'(' => depth += 1,
                b')' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return;
            }
            self.word.push(byte);
        }
        self.at = self.text.len();
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

fn ends_atom(byte: u8) -> bool {
    is_space(byte)
        || matches!(
            byte,
            b'(' | b'"' | b'<' | b'>' | b'@' | b',' | b';' | b':' | b'['
        )
}
