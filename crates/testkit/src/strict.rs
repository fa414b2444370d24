//! A client for tests that believes nothing: every response must follow the grammar to the letter.

use restante_proto::client::{
    Mode, ResponseEvent, ResponseFramer, ResponseLimits, decode_response,
};
use restante_proto::types::{Condition, Response, StatusResponse, UntaggedData};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

/// A connection.
#[derive(Debug)]
pub struct StrictClient {
    stream: DuplexStream,
    framer: ResponseFramer,
    mode: Mode,
    tags: u32,
}

/// What a command was answered.
#[derive(Debug)]
pub struct Answer {
    /// Untagged data in the order in which it came.
    pub data: Vec<UntaggedData>,
    /// Untagged status responses.
    pub statuses: Vec<StatusResponse>,
    /// The tagged response.
    pub tagged: StatusResponse,
}

impl Answer {
    /// Whether the tagged response is OK.
    pub fn is_ok(&self) -> bool {
        self.tagged.condition == Condition::Ok
    }
}

impl StrictClient {
    /// A client on a stream whose greeting has not been read.
    pub fn new(stream: DuplexStream) -> StrictClient {
        StrictClient {
            stream,
            framer: ResponseFramer::new(ResponseLimits::default()),
            mode: Mode::Strict,
            tags: 0,
        }
    }

    /// The next response; `None` at the end of the connection.
    ///
    /// # Errors
    /// What is not grammatical, with the octets.
    pub async fn response(&mut self) -> Result<Option<Response>, String> {
        loop {
            match self.framer.next_event() {
                Ok(Some(ResponseEvent::Frame(frame))) => {
                    let text = String::from_utf8_lossy(&frame.bytes).into_owned();
                    return match decode_response(&frame, self.mode) {
                        Ok(response) => {
                            self.notice(&response);
                            Ok(Some(response))
                        }
                        Err(error) => Err(format!("{error}: {text:?}")),
                    };
                }
                Ok(Some(_)) => {}
                Ok(None) => {
                    let mut bytes = [0; 4096];
                    let count = self
                        .stream
                        .read(&mut bytes)
                        .await
                        .map_err(|error| error.to_string())?;
                    if count == 0 {
                        return match self.framer.pending() {
                            0 => Ok(None),
                            _ => Err("the connection ends within a response".to_owned()),
                        };
                    }
                    self.framer.push(&bytes[..count]);
                }
                Err(error) => return Err(error.to_string()),
            }
        }
    }

    /// UTF-8 is in the grammar once it is enabled (RFC 9051 §5.1, RFC 9755 §3), in texts once another language is
    /// (RFC 5255 §3.3).
    fn notice(&mut self, response: &Response) {
        let Response::Data(data) = response else {
            return;
        };
        let is_utf8 = match data {
            UntaggedData::Enabled(words) => words.iter().any(|word| {
                word.eq_ignore_ascii_case("IMAP4rev2") || word.eq_ignore_ascii_case("UTF8=ACCEPT")
            }),
            UntaggedData::Language(_) => true,
            _ => false,
        };
        if is_utf8 {
            self.mode = Mode::StrictUtf8;
        }
    }

    /// Sends a line as it stands.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn send(&mut self, line: &str) -> Result<(), String> {
        let line = format!("{line}\r\n");
        let sent = self.stream.write_all(line.as_bytes()).await;
        sent.map_err(|error| error.to_string())
    }

    /// Sends a command and takes everything up to its tagged response. Literals in it must be
    /// non-synchronizing.
    ///
    /// # Errors
    /// What is not grammatical; the end of the connection.
    pub async fn command(&mut self, command: &str) -> Result<Answer, String> {
        self.tags += 1;
        let tag = format!("t{}", self.tags);
        let line = format!("{tag} {command}\r\n");
        self.stream
            .write_all(line.as_bytes())
            .await
            .map_err(|error| error.to_string())?;
        let (mut data, mut statuses) = (Vec::new(), Vec::new());
        loop {
            match self
                .response()
                .await?
                .ok_or_else(|| format!("closed within {command}"))?
            {
                Response::Data(item) => data.push(item),
                Response::Continuation(_) => {}
                Response::Status(status) => match &status.tag {
                    None => statuses.push(status),
                    Some(answered) if answered.as_str() == tag => {
                        return Ok(Answer {
                            data,
                            statuses,
                            tagged: status,
                        });
                    }
                    Some(other) => return Err(format!("an answer to {other}")),
                },
            }
        }
    }
}
