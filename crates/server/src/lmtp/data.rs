//! The message as it comes after DATA: lines, dots doubled, ended by a line with one dot
//! (RFC 5321 §4.1.1.4, §4.5.2).

use memchr::memchr;

/// Takes the message out of the stream, whatever way the stream is cut.
///
/// Only CRLF ends a line: a lone CR or LF is a byte like any other, and `LF . CRLF` ends nothing
/// (whoever takes it for an end can be made to read a message as commands).
#[derive(Debug, Default)]
pub(super) struct DotReader {
    state: State,
}

/// What the last bytes were. A dot that begins a line, and the CR after it, are held back until the
/// next byte tells what they are.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    /// At the beginning of a line.
    #[default]
    Line,
    /// Within a line.
    Text,
    /// After a CR (which was passed on).
    Cr,
    /// After a dot that begins a line (held back).
    Dot,
    /// After dot and CR (both held back).
    DotCr,
}

impl DotReader {
    /// Passes the message bytes in `input` to `out`, in pieces. Returns how much of `input` belongs
    /// to the message, the end included, and whether the end was there.
    pub(super) fn read(&mut self, input: &[u8], mut out: impl FnMut(&[u8])) -> (usize, bool) {
        // Bytes from `from` up to the position are to be passed on.
        let mut from = 0;
        let mut at = 0;
        while at < input.len() {
            let byte = input[at];
            match self.state {
                State::Line if byte == b'.' => {
                    out(&input[from..at]);
                    at += 1;
                    from = at;
                    self.state = State::Dot;
                }
                State::Line | State::Text => match memchr(b'\r', &input[at..]) {
                    Some(distance) => {
                        at += distance + 1;
                        self.state = State::Cr;
                    }
                    None => {
                        at = input.len();
                        self.state = State::Text;
                    }
                },
                State::Cr => {
                    at += 1;
                    self.state = match byte {
                        b'\n' => State::Line,
                        b'\r' => State::Cr,
                        _ => State::Text,
                    };
                }
                State::Dot if byte == b'\r' => {
                    at += 1;
                    from = at;
                    self.state = State::DotCr;
                }
                // The dot was doubled, or should have been: it is not part of the message.
                State::Dot => self.state = State::Text,
                State::DotCr if byte == b'\n' => {
                    self.state = State::Line;
                    return (at + 1, true);
                }
                // The dot is dropped, the CR was of the message.
                State::DotCr => {
                    out(b"\r");
                    self.state = State::Cr;
                }
            }
        }
        out(&input[from..]);
        (input.len(), false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Feeds the input in the given pieces; returns message, rest, and whether it ended.
    fn feed(input: &[u8], cuts: &[usize]) -> (Vec<u8>, Vec<u8>, bool) {
        let mut reader = DotReader::default();
        let mut message = Vec::new();
        let mut at = 0;
        let mut cuts = cuts.iter();
        while at < input.len() {
            let size = cuts
                .next()
                .copied()
                .unwrap_or(input.len())
                .clamp(1, input.len() - at);
            let (used, end) = reader.read(&input[at..at + size], |b| message.extend_from_slice(b));
            if end {
                return (message, input[at + used..].to_vec(), true);
            }
            assert_eq!(used, size);
            at += size;
        }
        (message, Vec::new(), false)
    }

    /// What it shows, the message, what is sent, what is left of it, whether the message ended.
    type Known = (
        &'static str,
        &'static str,
        &'static [u8],
        &'static [u8],
        bool,
    );

    #[test]
    fn known_messages() {
        let table: &[Known] = &[
            ("empty", "", b".\r\n", b"", true),
            ("one line", "a\r\n", b"a\r\n.\r\n", b"", true),
            (
                "pipelined",
                "a\r\n",
                b"a\r\n.\r\nQUIT\r\n",
                b"QUIT\r\n",
                true,
            ),
            (
                "dots doubled",
                ".\r\n..a\r\n",
                b"..\r\n...a\r\n.\r\n",
                b"",
                true,
            ),
            ("a dot not doubled", "a\r\n", b".a\r\n.\r\n", b"", true),
            ("LF . LF", "a\n.\nb\r\n", b"a\n.\nb\r\n.\r\n", b"", true),
            (
                "LF . CRLF",
                "a\n.\r\nb\r\n",
                b"a\n.\r\nb\r\n.\r\n",
                b"",
                true,
            ),
            (
                "CRLF . LF",
                "a\r\n\nb\r\n",
                b"a\r\n.\nb\r\n.\r\n",
                b"",
                true,
            ),
            ("CR . CR", "a\r.\rb\r\n", b"a\r.\rb\r\n.\r\n", b"", true),
            ("CR CRLF . CRLF", "a\r\r\n", b"a\r\r\n.\r\n", b"", true),
            ("dot CR x", "a\r\n\rx\r\n", b"a\r\n.\rx\r\n.\r\n", b"", true),
            (
                "dot CR CRLF",
                "a\r\n\r\r\n",
                b"a\r\n.\r\r\n.\r\n",
                b"",
                true,
            ),
            ("no end yet", "a\r\n", b"a\r\n.\r", b"", false),
            ("all bytes", "\0\u{7f}", b"\0\x7f", b"", false),
        ];
        for (name, message, input, rest, end) in table {
            let expected = (message.as_bytes().to_vec(), rest.to_vec(), *end);
            assert_eq!(feed(input, &[]), expected, "{name}");
            let single = vec![1; input.len()];
            assert_eq!(feed(input, &single), expected, "{name}, byte by byte");
        }
    }

    fn stuffed(message: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for (index, byte) in message.iter().enumerate() {
            let line_start = index == 0 || message[..index].ends_with(b"\r\n");
            if line_start && *byte == b'.' {
                out.push(b'.');
            }
            out.push(*byte);
        }
        out
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn what_was_stuffed_comes_back_whatever_the_cuts(
            body in proptest::collection::vec(proptest::sample::select(&b"a.\r\n"[..]), 0..40),
            cuts in proptest::collection::vec(1usize..5, 0..60),
        ) {
            let mut message = body;
            message.extend_from_slice(b"\r\n");
            let mut input = stuffed(&message);
            input.extend_from_slice(b".\r\nNOOP\r\n");
            let (got, _, end) = feed(&input, &cuts);
            prop_assert!(end);
            prop_assert_eq!(got, message);
        }
    }
}
