//! Status responses (RFC 9051 §7.1): OK, NO, BAD, PREAUTH, BYE, and continuation requests.

use super::Writer;
use crate::types::{Code, Condition, Number, StatusResponse, Tag, UidValidity};

impl Writer<'_> {
    /// Appends a status response. `text` must not be empty; line ends in it become spaces.
    pub fn status_line(
        &mut self,
        tag: Option<&Tag>,
        condition: Condition,
        code: Option<&Code>,
        text: &str,
    ) {
        self.status_begin(tag, condition);
        if let Some(code) = code {
            self.code(code);
            self.space();
        }
        self.status_end(text);
    }

    /// Appends an untagged OK, as SELECT has many.
    pub fn ok(&mut self, code: &Code, text: &str) {
        self.status_line(None, Condition::Ok, Some(code), text);
    }

    /// Appends a typed status response.
    pub fn status_response(&mut self, status: &StatusResponse) {
        let StatusResponse {
            tag,
            condition,
            code,
            text,
        } = status;
        self.status_line(tag.as_ref(), *condition, code.as_ref(), text);
    }

    /// Appends the beginning of a status response, up to the code or the text.
    pub fn status_begin(&mut self, tag: Option<&Tag>, condition: Condition) {
        match tag {
            Some(tag) => self.raw(tag.as_str().as_bytes()),
            None => self.raw(b"*"),
        }
        self.raw(match condition {
            Condition::Ok => b" OK ",
            Condition::No => b" NO ",
            Condition::Bad => b" BAD ",
            Condition::PreAuth => b" PREAUTH ",
            Condition::Bye => b" BYE ",
        });
    }

    /// Appends the text and the end of a status response.
    pub fn status_end(&mut self, text: &str) {
        self.text(text.as_bytes());
        self.end_line();
    }

    /// Text for people: one line, ASCII unless the client enabled UTF-8 (RFC 9051 §9, text; RFC 5255 §3.2).
    fn text(&mut self, text: &[u8]) {
        let ascii = !self.utf8_text;
        let clean = |b: &u8| match b {
            0 | b'\r' | b'\n' => b' ',
            0x80.. if ascii => b'?',
            b => *b,
        };
        self.out.extend(text.iter().map(clean));
    }

    /// Appends a COPYUID code and the space after it, between
    /// [`status_begin`](Self::status_begin) and [`status_end`](Self::status_end), without making
    /// sets first. Both sequences have the same order and at least one UID.
    pub fn copy_uid<N: Number>(
        &mut self,
        uid_validity: UidValidity,
        source: impl IntoIterator<Item = N>,
        destination: impl IntoIterator<Item = N>,
    ) {
        self.raw(b"[COPYUID ");
        self.number(uid_validity.get().into());
        self.space();
        self.numbers(source);
        self.space();
        self.numbers(destination);
        self.raw(b"] ");
    }

    /// Appends an APPENDUID code and the space after it, as [`copy_uid`](Self::copy_uid).
    pub fn append_uid<N: Number>(
        &mut self,
        uid_validity: UidValidity,
        uids: impl IntoIterator<Item = N>,
    ) {
        self.raw(b"[APPENDUID ");
        self.number(uid_validity.get().into());
        self.space();
        self.numbers(uids);
        self.raw(b"] ");
    }

    /// Appends a MODIFIED code (RFC 7162 §3.1.3) and the space after it.
    pub fn modified<N: Number>(&mut self, numbers: impl IntoIterator<Item = N>) {
        self.raw(b"[MODIFIED ");
        self.numbers(numbers);
        self.raw(b"] ");
    }

    /// Appends a continuation request: `+ text`. For SASL the text is base64 and may be empty.
    pub fn continuation(&mut self, text: &[u8]) {
        self.raw(b"+ ");
        self.text(text);
        self.end_line();
    }
}
