//! One LMTP connection: lines in, replies out, the envelope between them.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use memchr::memchr;
use restante_mailbox::{EmailDraft, MailError};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::command::{self, Command, LINE_BYTES_MAX, Mail, Malformed};
use super::data::DotReader;
use super::deliver::{self, Recipient, Trace};
use super::reply::{self, Reply};
use super::spool::Spool;
use super::{ClientAddress, Env};

/// Commands that are not understood before the connection is closed. (A web browser that is made to
/// talk to this port gets no further.)
const ERRORS_MAX: u32 = 10;

/// How much is read at a time: commands, and messages.
const READ_BYTES: usize = 4 * 1024;
const READ_BYTES_DATA: usize = 64 * 1024;

/// Recipients of one message whose copies are made at the same time.
const COPIES_AT_ONCE: usize = 8;

/// Serves one connection until it ends.
pub(crate) async fn serve<S>(stream: S, env: Arc<Env>, client: Option<IpAddr>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut session = Session {
        stream,
        client,
        input: Vec::new(),
        at: 0,
        out: Vec::new(),
        sent: 0,
        client_name: None,
        envelope: None,
        errors: 0,
        env,
    };
    if let Err(error) = session.run().await {
        tracing::debug!(?client, %error, "LMTP connection lost");
    }
}

struct Session<S> {
    stream: S,
    env: Arc<Env>,
    client: ClientAddress,
    /// What was read; before `at` it is done with.
    input: Vec<u8>,
    at: usize,
    /// Replies that were not sent yet.
    out: Vec<u8>,
    /// How much of them was.
    sent: usize,
    /// What the client called itself in LHLO.
    client_name: Option<String>,
    envelope: Option<Envelope>,
    errors: u32,
}

/// A message on its way: between MAIL and the end of its data.
struct Envelope {
    mail: Mail,
    recipients: Vec<Recipient>,
    /// After the first BDAT.
    message: Option<Incoming>,
}

/// The message as it arrives.
struct Incoming {
    bytes: u64,
    sink: Sink,
    started: Instant,
}

/// Where it goes.
enum Sink {
    /// Into the draft of the only recipient.
    Draft(Box<EmailDraft>),
    /// Into the keeping for all.
    Spool(Spool),
    /// Nowhere: what follows is read and forgotten, then everybody is told.
    Refused(MailError),
}

/// Whether the connection goes on.
#[derive(PartialEq, Eq)]
enum Flow {
    On,
    End,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    async fn run(&mut self) -> io::Result<()> {
        let greeting = format!("220 {} LMTP Restante ready\r\n", self.env.hostname);
        self.out.extend_from_slice(greeting.as_bytes());
        let mut shutdown = self.env.shutdown.clone();
        loop {
            if *shutdown.borrow() {
                self.reply(reply::SHUTTING_DOWN);
                break;
            }
            let line = tokio::select! {
                line = self.line() => line,
                _ = shutdown.wait_for(|down| *down) => {
                    self.reply(reply::SHUTTING_DOWN);
                    break;
                }
            };
            let line = match line {
                Ok(Some(line)) => line,
                Ok(None) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    self.reply(reply::TIMEOUT);
                    break;
                }
                Err(error) => return Err(error),
            };
            if self.command(&line).await? == Flow::End {
                break;
            }
            if self.errors >= ERRORS_MAX {
                self.reply(reply::TOO_MANY_ERRORS);
                break;
            }
        }
        self.flush().await?;
        self.stream.shutdown().await
    }

    fn reply(&mut self, reply: Reply) {
        if reply.code >= 500 {
            self.errors += 1;
        }
        reply.write(&mut self.out);
    }

    async fn flush(&mut self) -> io::Result<()> {
        if self.out.is_empty() {
            return Ok(());
        }
        // May be cancelled between two writes: what was sent is counted.
        while self.sent < self.out.len() {
            let write = self.stream.write(&self.out[self.sent..]);
            match timeout(self.env.timeout, write)
                .await
                .map_err(|_| timed_out())??
            {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                count => self.sent += count,
            }
        }
        timeout(self.env.timeout, self.stream.flush())
            .await
            .map_err(|_| timed_out())??;
        self.out.clear();
        self.sent = 0;
        Ok(())
    }

    /// Reads more input, after sending what the client may be waiting for. `false` at its end.
    async fn fill(&mut self, size: usize) -> io::Result<bool> {
        self.flush().await?;
        if self.at > 0 {
            self.input.drain(..self.at);
            self.at = 0;
        }
        if self.input.capacity() > 2 * size && self.input.len() <= size {
            self.input.shrink_to(size);
        }
        self.input.reserve(size);
        let read = self.stream.read_buf(&mut self.input);
        Ok(timeout(self.env.timeout, read)
            .await
            .map_err(|_| timed_out())??
            > 0)
    }

    /// The next line without its end, or `None` at the end of the input. A line that is too long is
    /// answered and skipped. May be cancelled: what was read stays.
    async fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut searched = 0;
        loop {
            let rest = &self.input[self.at..];
            match memchr(b'\n', &rest[searched..]) {
                Some(index) => {
                    let end = searched + index;
                    let line = &rest[..end];
                    let line = line.strip_suffix(b"\r").unwrap_or(line);
                    let line = (line.len() <= LINE_BYTES_MAX).then(|| line.to_vec());
                    self.at += end + 1;
                    match line {
                        Some(line) => return Ok(Some(line)),
                        None => self.reply(reply::LINE_TOO_LONG),
                    }
                    searched = 0;
                }
                // Keeps one byte more than a line may have, so that its end is seen as too long.
                None if rest.len() > LINE_BYTES_MAX + 2 => {
                    self.errors += 1;
                    if self.errors >= ERRORS_MAX {
                        self.reply(reply::TOO_MANY_ERRORS);
                        self.flush().await?;
                        return Ok(None);
                    }
                    let keep = LINE_BYTES_MAX + 1;
                    self.at = self.input.len() - keep;
                    searched = keep;
                    if !self.fill(READ_BYTES).await? {
                        return Ok(None);
                    }
                }
                None => {
                    searched = rest.len();
                    if !self.fill(READ_BYTES).await? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    async fn command(&mut self, line: &[u8]) -> io::Result<Flow> {
        let command = match command::parse(line) {
            Ok(command) => command,
            Err(malformed) => {
                self.malformed(malformed);
                return Ok(Flow::On);
            }
        };
        // RFC 2920 §3.2: the replies to these are sent at once.
        let at_once = matches!(
            command,
            Command::Lhlo(_) | Command::Noop | Command::Vrfy(_) | Command::NotOffered
        ) || matches!(command, Command::Smtp | Command::Unknown);
        match command {
            Command::Lhlo(name) => self.lhlo(name),
            Command::Mail(mail) => self.mail(mail),
            Command::Rcpt(address) => self.rcpt(&address).await,
            Command::Data => return self.data().await,
            Command::Bdat { size, last } => return self.bdat(size, last).await,
            Command::Rset => {
                self.envelope = None;
                self.reply(reply::OK);
            }
            Command::Noop => self.reply(reply::OK),
            Command::Vrfy(_) => self.reply(reply::CANNOT_VERIFY),
            Command::Help => self.reply(reply::HELP),
            Command::Quit => {
                self.reply(reply::BYE);
                return Ok(Flow::End);
            }
            Command::Smtp => self.reply(reply::USE_LHLO),
            Command::NotOffered => self.reply(reply::NOT_OFFERED),
            Command::Unknown => self.reply(reply::UNKNOWN),
        }
        if at_once {
            self.flush().await?;
        }
        Ok(Flow::On)
    }

    fn malformed(&mut self, malformed: Malformed) {
        let (code, enhanced, text) = match malformed {
            Malformed::Arguments(text) => (501, "5.5.4", text),
            Malformed::Address(text) => (501, "5.1.3", text),
            Malformed::Parameter => return self.reply(reply::BAD_PARAMETER),
        };
        self.reply(Reply {
            code,
            enhanced,
            text,
        });
    }

    fn lhlo(&mut self, name: String) {
        self.envelope = None;
        let lines = format!(
            "250-{}\r\n250-PIPELINING\r\n250-SIZE {}\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n\
             250-CHUNKING\r\n250 ENHANCEDSTATUSCODES\r\n",
            self.env.hostname, self.env.message_bytes_max
        );
        self.out.extend_from_slice(lines.as_bytes());
        self.client_name = Some(name);
    }

    fn mail(&mut self, mail: Mail) {
        let ascii = mail.from.as_ref().is_none_or(|from| from.is_ascii());
        let reply = if self.client_name.is_none() {
            reply::LHLO_FIRST
        } else if self.envelope.is_some() {
            reply::MAIL_GIVEN
        } else if mail
            .size
            .is_some_and(|size| size > self.env.message_bytes_max)
        {
            reply::TOO_LARGE
        } else if !ascii && !mail.smtputf8 {
            reply::SENDER_NEEDS_SMTPUTF8
        } else {
            self.envelope = Some(Envelope {
                mail,
                recipients: Vec::new(),
                message: None,
            });
            reply::SENDER_OK
        };
        self.reply(reply);
    }

    async fn rcpt(&mut self, address: &super::address::Address) {
        let Some(envelope) = &mut self.envelope else {
            return self.reply(reply::MAIL_FIRST);
        };
        let refusal = if envelope.message.is_some() {
            Some(reply::DATA_OR_BDAT)
        } else if envelope.recipients.len() >= self.env.recipients_max {
            Some(reply::TOO_MANY_RECIPIENTS)
        } else if !address.is_ascii() && !envelope.mail.smtputf8 {
            Some(reply::NEEDS_SMTPUTF8)
        } else {
            None
        };
        if let Some(refusal) = refusal {
            return self.reply(refusal);
        }
        let accepted = match deliver::recipient(&self.env, address).await {
            Ok(recipient) => {
                let quota = deliver::check_quota(&recipient.account, envelope.mail.size).await;
                quota.map(|()| recipient)
            }
            Err(error) => Err(error),
        };
        match accepted {
            Ok(recipient) => {
                envelope.recipients.push(recipient);
                reply::RECIPIENT_OK.write_with(&mut self.out, &address.text);
            }
            Err(error) => {
                tracing::info!(to = %address.text, client = ?self.client, %error, "recipient refused");
                // Unknown recipients are no abuse: they do not count as errors.
                reply::of_error(&error).write_with(&mut self.out, &address.text);
            }
        }
    }

    async fn data(&mut self) -> io::Result<Flow> {
        match &self.envelope {
            None => self.reply(reply::MAIL_FIRST),
            Some(envelope) if envelope.message.is_some() => self.reply(reply::DATA_OR_BDAT),
            Some(envelope) if envelope.recipients.is_empty() => self.reply(reply::NO_RECIPIENTS),
            Some(_) => {
                self.reply(reply::START_DATA);
                self.flush().await?;
                return self.message().await;
            }
        }
        Ok(Flow::On)
    }

    /// The message after DATA, to its final dot.
    async fn message(&mut self) -> io::Result<Flow> {
        let Some(mut envelope) = self.envelope.take() else {
            return Ok(Flow::On);
        };
        let mut incoming = self.incoming(&envelope).await;
        let mut reader = DotReader::default();
        let mut bytes = Vec::new();
        loop {
            if self.at == self.input.len() && !self.fill(READ_BYTES_DATA).await? {
                // The client is gone in the middle of its message.
                return Ok(Flow::End);
            }
            bytes.clear();
            let (used, end) = reader.read(&self.input[self.at..], |piece| {
                bytes.extend_from_slice(piece)
            });
            self.at += used;
            incoming.take(&bytes, self.env.message_bytes_max).await;
            if end {
                break;
            }
        }
        envelope.message = Some(incoming);
        self.finish(envelope).await?;
        Ok(Flow::On)
    }

    /// A piece of the message (RFC 3030). What was announced is read, whatever the answer.
    async fn bdat(&mut self, size: u64, last: bool) -> io::Result<Flow> {
        let mut envelope = match self.envelope.take() {
            Some(envelope) if !envelope.recipients.is_empty() => Some(envelope),
            // One reply for each recipient, and there is none (RFC 2033 §4.3).
            Some(_) if last => None,
            Some(without) => {
                self.envelope = Some(without);
                self.reply(reply::NO_RECIPIENTS);
                None
            }
            None => {
                self.reply(reply::MAIL_FIRST);
                None
            }
        };
        let mut incoming = None;
        if let Some(envelope) = &mut envelope {
            incoming = match envelope.message.take() {
                Some(begun) => Some(begun),
                None => Some(self.incoming(envelope).await),
            };
        }
        let mut left = size;
        while left > 0 {
            if self.at == self.input.len() && !self.fill(READ_BYTES_DATA).await? {
                return Ok(Flow::End);
            }
            let there = self.input.len() - self.at;
            let count = usize::try_from(left).unwrap_or(usize::MAX).min(there);
            if let Some(incoming) = &mut incoming {
                let piece = &self.input[self.at..self.at + count];
                incoming.take(piece, self.env.message_bytes_max).await;
            }
            self.at += count;
            left -= count as u64;
        }
        if let Some(mut envelope) = envelope {
            if last {
                envelope.message = incoming;
                self.finish(envelope).await?;
                return Ok(Flow::On);
            }
            match incoming.as_ref().map(|incoming| &incoming.sink) {
                // What is pipelined behind it counts as no error of the client.
                Some(Sink::Refused(error)) => reply::of_error(error).write(&mut self.out),
                _ => self.reply(reply::CHUNK_OK),
            }
            envelope.message = incoming;
            self.envelope = Some(envelope);
        }
        Ok(Flow::On)
    }

    fn trace(&self, envelope: &Envelope) -> Trace {
        Trace {
            from: envelope
                .mail
                .from
                .as_ref()
                .map_or_else(String::new, |from| from.text.clone()),
            client_name: self.client_name.clone().unwrap_or_default(),
            client: self.client,
            protocol: match envelope.mail.smtputf8 {
                true => "UTF8LMTP",
                false => "LMTP",
            },
        }
    }

    async fn incoming(&self, envelope: &Envelope) -> Incoming {
        let sink = match envelope.recipients.as_slice() {
            [only] => match deliver::begin(&self.env, &self.trace(envelope), only).await {
                Ok(draft) => Sink::Draft(Box::new(draft)),
                Err(error) => Sink::Refused(error),
            },
            _ => Sink::Spool(Spool::new(&self.env.spool_dir)),
        };
        Incoming {
            bytes: 0,
            sink,
            started: Instant::now(),
        }
    }

    /// Delivers, and replies once for each recipient, in the order of RCPT: as soon as it is known what
    /// became of a copy and of those before it (RFC 2033 §5).
    async fn finish(&mut self, envelope: Envelope) -> io::Result<()> {
        let trace = self.trace(&envelope);
        let Envelope {
            recipients,
            message,
            ..
        } = envelope;
        let Some(Incoming {
            bytes,
            sink,
            started,
        }) = message
        else {
            return Ok(());
        };
        let (mut refused, mut lost) = (None, None);
        match sink {
            Sink::Refused(error) => refused = Some(error),
            Sink::Draft(draft) => {
                if let [only] = recipients.as_slice() {
                    let outcome = deliver::save(only, *draft).await;
                    deliver::log(&trace, only, bytes, started, &outcome);
                    self.tell(only, &outcome);
                }
            }
            Sink::Spool(spool) => match spool.finish().await {
                Ok(spooled) => {
                    let mut copies = Copies::begin(&self.env, &trace, recipients.clone(), spooled);
                    for (index, recipient) in recipients.iter().enumerate() {
                        // A client that is gone does not end the copies: what became of them is logged.
                        if !copies.is_known(index) && lost.is_none() {
                            lost = self.flush().await.err();
                        }
                        let outcome = copies.outcome(index).await;
                        deliver::log(&trace, recipient, bytes, started, &outcome);
                        self.tell(recipient, &outcome);
                    }
                }
                Err(error) => refused = Some(spool_error(&error)),
            },
        }
        if let Some(error) = refused {
            let outcome = Err(error);
            for recipient in &recipients {
                deliver::log(&trace, recipient, bytes, started, &outcome);
                self.tell(recipient, &outcome);
            }
        }
        lost.map_or(Ok(()), Err)
    }

    fn tell(&mut self, recipient: &Recipient, outcome: &Result<(), MailError>) {
        let reply = match outcome {
            Ok(()) => reply::SAVED,
            Err(error) => reply::of_error(error),
        };
        reply.write_with(&mut self.out, &recipient.address);
    }
}

impl Incoming {
    async fn take(&mut self, bytes: &[u8], max: u64) {
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
        if self.bytes > max {
            let too_large = MailError::Limit(restante_mailbox::Limit::MessageBytes);
            self.sink = Sink::Refused(too_large);
            return;
        }
        let failed = match &mut self.sink {
            Sink::Draft(draft) => draft.write(bytes).await.err(),
            Sink::Spool(spool) => spool.write(bytes).await.err().map(|e| spool_error(&e)),
            Sink::Refused(_) => None,
        };
        if let Some(error) = failed {
            self.sink = Sink::Refused(error);
        }
    }
}

/// The copies of several recipients, some made at a time.
struct Copies {
    env: Arc<Env>,
    trace: Trace,
    spooled: Arc<super::spool::Spooled>,
    /// Those that are not begun.
    waiting: std::iter::Enumerate<std::vec::IntoIter<Recipient>>,
    running: JoinSet<(usize, Result<(), MailError>)>,
    outcomes: Vec<Option<Result<(), MailError>>>,
}

impl Copies {
    fn begin(
        env: &Arc<Env>,
        trace: &Trace,
        recipients: Vec<Recipient>,
        spooled: super::spool::Spooled,
    ) -> Copies {
        let outcomes = recipients.iter().map(|_| None).collect();
        let mut copies = Copies {
            env: Arc::clone(env),
            trace: trace.clone(),
            spooled: Arc::new(spooled),
            waiting: recipients.into_iter().enumerate(),
            running: JoinSet::new(),
            outcomes,
        };
        copies.go_on();
        copies
    }

    fn go_on(&mut self) {
        while self.running.len() < COPIES_AT_ONCE {
            let Some((index, recipient)) = self.waiting.next() else {
                break;
            };
            let (env, trace) = (Arc::clone(&self.env), self.trace.clone());
            let spooled = Arc::clone(&self.spooled);
            self.running
                .spawn(async move { (index, copy(&env, &trace, &recipient, &spooled).await) });
        }
    }

    fn is_known(&self, index: usize) -> bool {
        self.outcomes.get(index).is_some_and(Option::is_some)
    }

    /// What became of a copy.
    async fn outcome(&mut self, index: usize) -> Result<(), MailError> {
        while !self.is_known(index) {
            match self.running.join_next().await {
                Some(Ok((done, outcome))) => self.outcomes[done] = Some(outcome),
                // A task that panicked leaves its outcome unknown.
                Some(Err(error)) => tracing::error!(%error, "a delivery was cut off"),
                None => break,
            }
            self.go_on();
        }
        let known = self.outcomes.get_mut(index).and_then(Option::take);
        known.unwrap_or_else(|| {
            Err(MailError::Unknown {
                reason: "the copy was cut off".into(),
            })
        })
    }
}

async fn copy(
    env: &Env,
    trace: &Trace,
    recipient: &Recipient,
    spooled: &super::spool::Spooled,
) -> Result<(), MailError> {
    let mut draft = deliver::begin(env, trace, recipient).await?;
    let mut piece = Vec::new();
    let mut offset = 0;
    loop {
        spooled
            .read(offset, &mut piece)
            .await
            .map_err(|e| spool_error(&e))?;
        if piece.is_empty() {
            return deliver::save(recipient, draft).await;
        }
        draft.write(&piece).await?;
        offset += piece.len() as u64;
    }
}

fn spool_error(error: &io::Error) -> MailError {
    let reason = format!("the spool file: {error}").into();
    match error.raw_os_error() {
        Some(libc::ENOSPC | libc::EDQUOT) => MailError::Full { reason },
        _ => MailError::Unavailable { reason },
    }
}

fn timed_out() -> io::Error {
    io::ErrorKind::TimedOut.into()
}
