//! One connection of a transcript: what it sends, and what it may be told.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::pattern::matches;
use super::{Failure, failure};

/// How long a transcript waits for a response.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long it looks for a response that must not come, where nothing marks the end.
const SILENCE: Duration = Duration::from_millis(40);

/// A client's side of COMPRESS.
pub(super) struct Deflate {
    compress: Compress,
    decompress: Decompress,
}

impl Deflate {
    pub(super) fn new() -> Deflate {
        Deflate {
            compress: Compress::new(Compression::default(), false),
            decompress: Decompress::new(false),
        }
    }

    fn pack(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut packed = Vec::with_capacity(bytes.len() + bytes.len() / 8 + 64);
        let flush = FlushCompress::Partial;
        // There is room for all of it, so it cannot fail.
        let _ = self.compress.compress_vec(bytes, &mut packed, flush);
        packed
    }

    fn unpack(&mut self, mut packed: &[u8], plain: &mut Vec<u8>) -> std::io::Result<()> {
        loop {
            plain.reserve(16 << 10);
            let (before, had) = (self.decompress.total_in(), plain.len());
            self.decompress
                .decompress_vec(packed, plain, FlushDecompress::Sync)?;
            packed = &packed[(self.decompress.total_in() - before) as usize..];
            if packed.is_empty() && plain.len() == had {
                return Ok(());
            }
        }
    }
}

/// One connection of a transcript.
pub(super) struct Session {
    name: String,
    stream: DuplexStream,
    pub(super) deflate: Option<Deflate>,
    buffer: Vec<u8>,
    tags: u32,
    /// Tags of commands that have no tagged response yet, oldest first.
    open: VecDeque<String>,
    /// Responses since the session last sent.
    pub(super) seen: Vec<String>,
    pub(super) refused: Vec<(usize, String)>,
    pub(super) lax: bool,
    pub(super) pipelining: bool,
    pub(super) closed: bool,
}

impl Session {
    pub(super) fn new(name: &str, stream: DuplexStream) -> Session {
        Session {
            name: name.to_owned(),
            stream,
            deflate: None,
            buffer: Vec::new(),
            tags: 0,
            open: VecDeque::new(),
            seen: Vec::new(),
            refused: Vec::new(),
            lax: false,
            pipelining: false,
            closed: false,
        }
    }

    fn fresh_tag(&mut self) -> String {
        self.tags += 1;
        let tag = format!("{}{}", self.name, self.tags);
        self.open.push_back(tag.clone());
        tag
    }

    /// A command of the set-up: must be OK; what else it says is passed over.
    pub(super) async fn command(&mut self, line: usize, command: &str) -> Result<(), Failure> {
        self.lax = true;
        self.send(line, &[command.to_owned()], true, &HashMap::new())
            .await?;
        self.expect(line, "OK", &mut HashMap::new()).await?;
        self.lax = false;
        Ok(())
    }

    pub(super) async fn send(
        &mut self,
        line: usize,
        parts: &[String],
        tagged: bool,
        names: &HashMap<String, String>,
    ) -> Result<(), Failure> {
        self.refused.clear();
        for (index, part) in parts.iter().enumerate() {
            let mut bytes = Vec::new();
            if index == 0 && tagged {
                let tag = self.fresh_tag();
                bytes.extend_from_slice(tag.as_bytes());
                bytes.push(b' ');
            }
            self.expand(part, names, &mut bytes);
            if index == 0 && !tagged && part.starts_with("<$") {
                let tag = bytes.split(|byte| *byte == b' ').next();
                let tag = String::from_utf8_lossy(tag.unwrap_or_default());
                self.open.push_back(tag.into_owned());
            }
            if let Some(start) = ends_with_star_literal(&bytes) {
                let mut rest = Vec::new();
                for (position, following) in parts[index + 1..].iter().enumerate() {
                    if position > 0 {
                        rest.extend_from_slice(b"\r\n");
                    }
                    self.expand(following, names, &mut rest);
                }
                let mark = bytes.split_off(start);
                let count = rest.len().to_string();
                for byte in mark {
                    match byte {
                        b'*' => bytes.extend_from_slice(count.as_bytes()),
                        other => bytes.push(other),
                    }
                }
            }
            let waits = index + 1 < parts.len() && waits_for_continuation(&bytes);
            if !(bytes.ends_with(b"<nocrlf>")) {
                bytes.extend_from_slice(b"\r\n");
            } else {
                bytes.truncate(bytes.len() - b"<nocrlf>".len());
            }
            if let Some(deflate) = &mut self.deflate {
                bytes = deflate.pack(&bytes);
            }
            if let Err(error) = self.stream.write_all(&bytes).await {
                return failure(line, format!("{} cannot send: {error}", self.name));
            }
            if waits {
                let response = self.response(line).await?;
                if !response.starts_with('+') {
                    return failure(
                        line,
                        format!("wanted a + for the literal, got {response:?}"),
                    );
                }
            }
        }
        Ok(())
    }

    fn expand(&mut self, text: &str, names: &HashMap<String, String>, out: &mut Vec<u8>) {
        let mut rest = text;
        while let Some(at) = rest.find('<') {
            out.extend_from_slice(&rest.as_bytes()[..at]);
            rest = &rest[at..];
            let Some(end) = rest.find('>') else { break };
            let word = &rest[1..end];
            if word == "crlf" {
                out.extend_from_slice(b"\r\n");
            } else if word == "tag" {
                let tag = self.fresh_tag();
                out.extend_from_slice(tag.as_bytes());
            } else if let Some(byte) = word
                .strip_prefix('x')
                .and_then(|hex| u8::from_str_radix(hex, 16).ok())
            {
                out.push(byte);
            } else if let Some(value) = word.strip_prefix('$').and_then(|name| names.get(name)) {
                out.extend_from_slice(value.as_bytes());
            } else {
                out.extend_from_slice(&rest.as_bytes()[..=end]);
            }
            rest = &rest[end + 1..];
        }
        out.extend_from_slice(rest.as_bytes());
    }

    pub(super) async fn expect(
        &mut self,
        line: usize,
        pattern: &str,
        names: &mut HashMap<String, String>,
    ) -> Result<(), Failure> {
        if pattern.trim() == "<closed>" {
            return match self.read_response().await {
                Ok(Some(response)) => failure(
                    line,
                    format!("wanted the end of the connection, got {response:?}"),
                ),
                Ok(None) | Err(_) => {
                    self.closed = true;
                    Ok(())
                }
            };
        }
        let untagged = pattern.starts_with("* ") || pattern.starts_with('+');
        let mut skipped = String::new();
        loop {
            let response = match self.response(line).await {
                Ok(response) => response,
                Err(mut failure) => {
                    failure.what = format!(
                        "{} while {} waited for {pattern:?}{skipped}",
                        failure.what, self.name
                    );
                    return Err(failure);
                }
            };
            self.check_refused()?;
            let tag = self.open.front().cloned().unwrap_or_default();
            let tagged = response
                .strip_prefix(tag.as_str())
                .and_then(|rest| rest.strip_prefix(' '));
            let matched = match (untagged, tagged) {
                (true, None) => {
                    let whole = !pattern.starts_with('+')
                        && !["* OK", "* NO", "* BAD", "* BYE", "* PREAUTH"]
                            .iter()
                            .any(|status| pattern.starts_with(status));
                    matches(pattern, &response, whole, names)
                }
                (false, Some(rest)) => {
                    self.open.pop_front();
                    if matches(pattern, rest, false, names) {
                        return Ok(());
                    }
                    false
                }
                _ => false,
            };
            if matched {
                return Ok(());
            }
            if self.lax && tagged.is_none() {
                skipped.push_str(&format!("\n      passed over {response:?}"));
                continue;
            }
            return failure(
                line,
                format!(
                    "{} wanted {pattern:?}\n      but got {response:?}{skipped}",
                    self.name
                ),
            );
        }
    }

    pub(super) fn check_refused(&self) -> Result<(), Failure> {
        for (line, text) in &self.refused {
            if let Some(found) = self.seen.iter().find(|seen| seen.contains(text.as_str())) {
                return failure(
                    *line,
                    format!(
                        "{} must not be told {text:?}, but was: {found:?}",
                        self.name
                    ),
                );
            }
        }
        Ok(())
    }

    /// Takes what comes for a moment.
    pub(super) async fn listen(&mut self, line: usize) -> Result<(), Failure> {
        while let Ok(result) = tokio::time::timeout(SILENCE, self.read_response()).await {
            match result {
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return failure(line, "the connection was closed"),
            }
        }
        Ok(())
    }

    /// The next response as a whole, with its literals, without the last CRLF.
    pub(super) async fn response(&mut self, line: usize) -> Result<String, Failure> {
        match tokio::time::timeout(PATIENCE, self.read_response()).await {
            Ok(Ok(Some(response))) => Ok(response),
            Ok(Ok(None)) => failure(line, "the connection was closed"),
            Ok(Err(error)) => failure(line, format!("the connection broke: {error}")),
            Err(_) => failure(line, "nothing came"),
        }
    }

    async fn read_response(&mut self) -> std::io::Result<Option<String>> {
        loop {
            if let Some(end) = complete_response(&self.buffer) {
                let rest = self.buffer.split_off(end);
                let mut response = std::mem::replace(&mut self.buffer, rest);
                response.truncate(end - 2);
                let response = String::from_utf8_lossy(&response).into_owned();
                self.seen.push(response.clone());
                return Ok(Some(response));
            }
            if let Some(deflate) = &mut self.deflate {
                let mut packed = Vec::new();
                if self.stream.read_buf(&mut packed).await? == 0 {
                    return Ok(None);
                }
                deflate.unpack(&packed, &mut self.buffer)?;
            } else if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
    }
}

/// Where the first response in `bytes` ends (behind its CRLF), if all of it is there.
fn complete_response(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let end = at + bytes.get(at..)?.windows(2).position(|two| two == b"\r\n")?;
        match literal_length(&bytes[at..end]) {
            Some(length) => at = end + 2 + length,
            None => return Some(end + 2),
        }
    }
}

fn literal_length(line: &[u8]) -> Option<usize> {
    let inner = line.strip_suffix(b"}")?;
    let open = inner.iter().rposition(|&byte| byte == b'{')?;
    std::str::from_utf8(&inner[open + 1..]).ok()?.parse().ok()
}

fn waits_for_continuation(line: &[u8]) -> bool {
    literal_length(line).is_some()
}

fn ends_with_star_literal(line: &[u8]) -> Option<usize> {
    [&b"{*}"[..], b"{*+}"]
        .into_iter()
        .find(|mark| line.ends_with(mark))
        .map(|mark| line.len() - mark.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_end_behind_their_literals() {
        assert_eq!(complete_response(b"* OK\r\nA"), Some(6));
        assert_eq!(complete_response(b"* 1 {3}\r\na\r\n"), None);
        assert_eq!(complete_response(b"* 1 {3}\r\na\r\n)\r\n"), Some(15));
    }
}
