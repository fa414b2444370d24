//! Writes the small productions of commands.

use thiserror::Error;

use crate::types::{MailboxName, Number, NumberSet, SetEnd, is_astring_char, is_atom_char, mutf7};

/// Which literals a server takes without being asked (RFC 7888).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum LiteralSupport {
    /// None: every literal waits for a continuation request.
    #[default]
    Synchronizing,
    /// LITERAL-: those of up to 4096 octets.
    Minus,
    /// LITERAL+: all.
    Plus,
}

impl LiteralSupport {
    /// Whether a literal of this size need not wait.
    pub fn allows(self, size: u64) -> bool {
        match self {
            Self::Synchronizing => false,
            Self::Minus => size <= 4096,
            Self::Plus => true,
        }
    }
}

/// How to write commands for a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct CommandEncoding {
    /// Which literals need not wait.
    pub literals: LiteralSupport,
    /// Whether quoted strings and mailbox names are in UTF-8: after ENABLE IMAP4rev2 or
    /// UTF8=ACCEPT.
    pub utf8: bool,
}

/// A command that cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
pub enum CommandEncodeError {
    /// A string with a NUL octet, which only some literals can hold.
    #[error("a string in a command cannot hold a NUL octet")]
    Nul,
    /// A list or set that the grammar does not let be empty.
    #[error("{0} cannot be empty")]
    Empty(&'static str),
    /// Search keys inside one another without end.
    #[error("search keys are nested too deeply")]
    TooDeep,
}

/// A command as bytes. Between two segments the client waits for a continuation request
/// (RFC 9051 §4.3): the first ends with a synchronizing literal's header.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct EncodedCommand {
    /// What to send, in order; never empty once something was written.
    pub segments: Vec<Vec<u8>>,
    /// Whether to wait after the last segment too: the beginning of an APPEND ends with the
    /// header of the message's literal.
    pub wait_after_last: bool,
}

/// Shows sizes only: commands hold passwords.
impl std::fmt::Debug for EncodedCommand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sizes: Vec<usize> = self.segments.iter().map(Vec::len).collect();
        f.debug_struct("EncodedCommand")
            .field("segment_bytes", &sizes)
            .field("wait_after_last", &self.wait_after_last)
            .finish()
    }
}

pub(super) type Result<T = ()> = std::result::Result<T, CommandEncodeError>;

/// Collects a command.
pub(super) struct Out {
    pub(super) command: EncodedCommand,
    pub(super) encoding: CommandEncoding,
}

impl Out {
    pub(super) fn new(encoding: CommandEncoding) -> Self {
        let command = EncodedCommand {
            segments: vec![Vec::new()],
            wait_after_last: false,
        };
        Self { command, encoding }
    }

    fn segment(&mut self) -> &mut Vec<u8> {
        if self.command.wait_after_last || self.command.segments.is_empty() {
            self.command.wait_after_last = false;
            self.command.segments.push(Vec::new());
        }
        let last = self.command.segments.len() - 1;
        &mut self.command.segments[last]
    }

    pub(super) fn raw(&mut self, bytes: impl AsRef<[u8]>) {
        self.segment().extend_from_slice(bytes.as_ref());
    }

    pub(super) fn number(&mut self, number: u64) {
        self.raw(itoa::Buffer::new().format(number));
    }

    /// The header of a literal of this size.
    pub(super) fn literal_header(&mut self, size: u64, literal8: bool) {
        if literal8 {
            self.raw("~");
        }
        let waits = !self.encoding.literals.allows(size);
        self.raw("{");
        self.number(size);
        self.raw(if waits { "}\r\n" } else { "+}\r\n" });
        self.command.wait_after_last = waits;
    }

    pub(super) fn literal(&mut self, bytes: &[u8], literal8: bool) -> Result {
        if !literal8 && memchr::memchr(0, bytes).is_some() {
            return Err(CommandEncodeError::Nul);
        }
        self.literal_header(bytes.len() as u64, literal8);
        self.raw(bytes);
        Ok(())
    }

    /// `string = quoted / literal`
    pub(super) fn string(&mut self, bytes: &[u8]) -> Result {
        let plain = if self.encoding.utf8 {
            std::str::from_utf8(bytes).is_ok()
        } else {
            bytes.is_ascii()
        };
        let quotable = plain && !bytes.iter().any(|b| matches!(b, 0 | b'\r' | b'\n'));
        if !quotable || bytes.len() > 4096 {
            return self.literal(bytes, false);
        }
        self.quoted(bytes);
        Ok(())
    }

    /// `quoted`, of bytes that can stand in it.
    pub(super) fn quoted(&mut self, bytes: &[u8]) {
        let out = self.segment();
        out.push(b'"');
        for &byte in bytes {
            if matches!(byte, b'"' | b'\\') {
                out.push(b'\\');
            }
            out.push(byte);
        }
        out.push(b'"');
    }

    /// `nstring`, as a literal8 if it holds NUL and that is allowed.
    pub(super) fn nstring(&mut self, string: Option<&[u8]>, literal8: bool) -> Result {
        match string {
            None => self.raw("NIL"),
            Some(bytes) if literal8 && bytes.contains(&0) => return self.literal(bytes, true),
            Some(bytes) => return self.string(bytes),
        }
        Ok(())
    }

    /// `astring = 1*ASTRING-CHAR / string`
    pub(super) fn astring(&mut self, bytes: &[u8]) -> Result {
        // NIL as an atom is legal here; quoted, no server can mistake it.
        let atom = !bytes.is_empty()
            && bytes.len() <= 1024
            && bytes.iter().all(|&b| is_astring_char(b))
            && !bytes.eq_ignore_ascii_case(b"NIL");
        if !atom {
            return self.string(bytes);
        }
        self.raw(bytes);
        Ok(())
    }

    pub(super) fn sp_astring(&mut self, bytes: &[u8]) -> Result {
        self.raw(" ");
        self.astring(bytes)
    }

    /// ` ` and `mailbox`, in the encoding in force.
    pub(super) fn sp_mailbox(&mut self, name: &MailboxName) -> Result {
        self.raw(" ");
        self.name(name.as_str(), false)
    }

    /// A mailbox name, reference or pattern. `list-mailbox = 1*list-char / string`
    pub(super) fn name(&mut self, name: &str, wildcards: bool) -> Result {
        let encoded = if self.encoding.utf8 {
            name.into()
        } else {
            mutf7::encode(name)
        };
        let bytes = encoded.as_bytes();
        let list_char = |b: u8| is_astring_char(b) || matches!(b, b'%' | b'*');
        if wildcards && !bytes.is_empty() && bytes.iter().all(|&b| list_char(b)) {
            self.raw(bytes);
            return Ok(());
        }
        self.astring(bytes)
    }

    /// An atom, or a string if the text is none.
    pub(super) fn atom_or_string(&mut self, bytes: &[u8]) -> Result {
        if bytes.is_empty() || !bytes.iter().all(|&b| is_atom_char(b)) {
            return self.string(bytes);
        }
        self.raw(bytes);
        Ok(())
    }

    /// `sequence-set`
    pub(super) fn set<N: Number>(&mut self, set: &NumberSet<N>) -> Result {
        if set.is_empty() {
            return Err(CommandEncodeError::Empty("a set of messages"));
        }
        let out = self.segment();
        let mut numbers = itoa::Buffer::new();
        let mut end = |out: &mut Vec<u8>, end: SetEnd<N>| match end {
            SetEnd::Number(n) => out.extend_from_slice(numbers.format(n.get()).as_bytes()),
            SetEnd::Star => out.push(b'*'),
        };
        let start = out.len();
        for range in &set.ranges {
            if out.len() > start {
                out.push(b',');
            }
            end(out, range.first);
            let single = match (range.first, range.last) {
                (SetEnd::Number(a), SetEnd::Number(b)) => a == b,
                (a, b) => matches!((a, b), (SetEnd::Star, SetEnd::Star)),
            };
            if !single {
                out.push(b':');
                end(out, range.last);
            }
        }
        if set.saved {
            out.extend_from_slice(if out.len() > start { b",$" } else { b"$" });
        }
        Ok(())
    }

    /// `"(" item *(SP item) ")"`
    pub(super) fn list<T>(
        &mut self,
        items: impl IntoIterator<Item = T>,
        mut item: impl FnMut(&mut Self, T) -> Result,
    ) -> Result {
        self.raw("(");
        for (i, one) in items.into_iter().enumerate() {
            if i > 0 {
                self.raw(" ");
            }
            item(self, one)?;
        }
        self.raw(")");
        Ok(())
    }
}
