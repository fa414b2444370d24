//! A strict reader of ENVELOPE and BODYSTRUCTURE, written from the ABNF of RFC 9051 §9 and
//! sharing nothing with the code under test.

type Checked = Result<(), String>;

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    utf8: bool,
}

/// Checks `envelope`. With `utf8`, quoted strings may hold UTF-8 (RFC 9051 §4.3).
pub(crate) fn envelope(text: &[u8], utf8: bool) -> Checked {
    whole(text, utf8, |reader| reader.envelope())
}

/// Checks `body`; with `extended` all extension fields must be there, without it none may.
pub(crate) fn body(text: &[u8], extended: bool, utf8: bool) -> Checked {
    whole(text, utf8, |reader| reader.body(extended))
}

fn whole(text: &[u8], utf8: bool, read: impl Fn(&mut Reader<'_>) -> Checked) -> Checked {
    let mut reader = Reader { text, at: 0, utf8 };
    read(&mut reader)?;
    if reader.at == text.len() {
        Ok(())
    } else {
        reader.fail("nothing more")
    }
}

impl Reader<'_> {
    fn fail<T>(&self, wanted: &str) -> Result<T, String> {
        let rest = &self.text[self.at.min(self.text.len())..];
        let rest = &rest[..rest.len().min(60)];
        Err(format!(
            "at {}: wanted {wanted}, found {}",
            self.at,
            rest.escape_ascii()
        ))
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn literally(&mut self, text: &[u8]) -> Checked {
        if self.text[self.at..].starts_with(text) {
            self.at += text.len();
            Ok(())
        } else {
            self.fail(&text.escape_ascii().to_string())
        }
    }

    fn space(&mut self) -> Checked {
        self.literally(b" ")
    }

    /// `string = quoted / literal`
    fn string(&mut self) -> Result<Vec<u8>, String> {
        match self.peek() {
            Some(b'"') => self.quoted(),
            Some(b'{') => self.literal(),
            _ => self.fail("a string"),
        }
    }

    fn quoted(&mut self) -> Result<Vec<u8>, String> {
        self.at += 1;
        let mut out = Vec::new();
        loop {
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    self.at += 1;
                    match self.peek() {
                        Some(byte @ (b'"' | b'\\')) => out.push(byte),
                        _ => return self.fail("a quoted special"),
                    }
                }
                None | Some(0 | b'\r' | b'\n') => return self.fail("a quoted character"),
                Some(0x80..) if !self.utf8 => return self.fail("seven bits"),
                Some(byte) => out.push(byte),
            }
            self.at += 1;
        }
        self.at += 1;
        match std::str::from_utf8(&out) {
            Ok(_) => Ok(out),
            Err(_) => self.fail("UTF-8 in quotes"),
        }
    }

    fn literal(&mut self) -> Result<Vec<u8>, String> {
        self.at += 1;
        let length = self.number()? as usize;
        self.literally(b"}\r\n")?;
        let Some(text) = self.text.get(self.at..self.at + length) else {
            return self.fail("a whole literal");
        };
        if text.contains(&0) {
            return self.fail("no NUL");
        }
        self.at += length;
        Ok(text.to_vec())
    }

    fn nil(&mut self) -> bool {
        self.literally(b"NIL").is_ok()
    }

    fn nstring(&mut self) -> Checked {
        if self.nil() {
            Ok(())
        } else {
            self.string().map(drop)
        }
    }

    /// `number`, 32 bits.
    fn number(&mut self) -> Result<u64, String> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        let digits = std::str::from_utf8(&self.text[start..self.at]).unwrap_or("");
        match digits.parse::<u32>() {
            Ok(number) => Ok(number.into()),
            Err(_) => self.fail("a number"),
        }
    }

    fn envelope(&mut self) -> Checked {
        self.literally(b"(")?;
        self.nstring()?;
        self.space()?;
        self.nstring()?;
        for _ in 0..6 {
            self.space()?;
            self.addresses()?;
        }
        self.space()?;
        self.nstring()?;
        self.space()?;
        self.nstring()?;
        self.literally(b")")
    }

    /// `"(" 1*address ")" / nil`, and groups that begin end.
    fn addresses(&mut self) -> Checked {
        if self.nil() {
            return Ok(());
        }
        self.literally(b"(")?;
        let mut in_group = false;
        while self.peek() != Some(b')') {
            self.literally(b"(")?;
            self.nstring()?;
            self.space()?;
            self.nstring()?;
            self.space()?;
            let has_mailbox = !self.text[self.at..].starts_with(b"NIL");
            self.nstring()?;
            self.space()?;
            let has_host = !self.text[self.at..].starts_with(b"NIL");
            self.nstring()?;
            self.literally(b")")?;
            if !has_host {
                if has_mailbox == in_group {
                    return self.fail("groups that begin and end in turn");
                }
                in_group = has_mailbox;
            }
        }
        if in_group || self.text[..self.at].ends_with(b" (") {
            return self.fail("an address, the end of a group");
        }
        self.literally(b")")
    }

    fn body(&mut self, extended: bool) -> Checked {
        self.literally(b"(")?;
        if self.peek() == Some(b'(') {
            while self.peek() == Some(b'(') {
                self.body(extended)?;
            }
            self.space()?;
            self.string()?;
            if extended {
                self.space()?;
                self.parameters()?;
                self.common_extension()?;
            }
            return self.literally(b")");
        }
        let main = self.string()?.to_ascii_lowercase();
        self.space()?;
        let subtype = self.string()?.to_ascii_lowercase();
        self.space()?;
        self.parameters()?;
        self.space()?;
        self.nstring()?;
        self.space()?;
        self.nstring()?;
        self.space()?;
        self.string()?;
        self.space()?;
        self.number()?;
        if main == b"multipart" {
            return self.fail("a multipart with parts");
        }
        if main == b"message" && (subtype == b"rfc822" || subtype == b"global") {
            self.space()?;
            self.envelope()?;
            self.space()?;
            self.body(extended)?;
        }
        if main == b"text" || main == b"message" && (subtype == b"rfc822" || subtype == b"global") {
            self.space()?;
            self.number()?;
        }
        if extended {
            self.space()?;
            self.nstring()?;
            self.common_extension()?;
        }
        self.literally(b")")
    }

    fn parameters(&mut self) -> Checked {
        if self.nil() {
            return Ok(());
        }
        self.literally(b"(")?;
        loop {
            self.string()?;
            self.space()?;
            self.string()?;
            if self.literally(b")").is_ok() {
                return Ok(());
            }
            self.space()?;
        }
    }

    fn common_extension(&mut self) -> Checked {
        self.space()?;
        if !self.nil() {
            self.literally(b"(")?;
            self.string()?;
            self.space()?;
            self.parameters()?;
            self.literally(b")")?;
        }
        self.space()?;
        if self.literally(b"(").is_ok() {
            self.string()?;
            while self.literally(b")").is_err() {
                self.space()?;
                self.string()?;
            }
        } else {
            self.nstring()?;
        }
        self.space()?;
        self.nstring()
    }
}
