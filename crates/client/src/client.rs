//! The client: commands out, replies in, everything else to a queue.

use std::collections::{HashMap, VecDeque};

use restante_auth::sasl::Channel;
use restante_proto::client::{
    CommandEncoding, EncodedCommand, LiteralSupport, Mode, ResponseFrame, ResponseLimits,
    encode_command,
};
use restante_proto::types::{
    Code, Command, CommandBody, Condition, Response, StatusResponse, Tag, Uid, UntaggedData,
};
use tokio::net::{TcpStream, ToSocketAddrs};

use crate::connection::{Connection, Incoming, Io};
use crate::error::{Error, Refusal, Result};
use crate::tls::Tls;

/// An untagged response: data, or a status such as `* OK [UIDNEXT 5] …`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Untagged {
    /// Data.
    Data(UntaggedData),
    /// OK, NO, BAD or BYE without a tag.
    Status(StatusResponse),
}

/// What a command brought: everything untagged up to its tagged response, and that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The untagged responses, in order.
    pub untagged: Vec<Untagged>,
    /// The tagged response: OK, as NO and BAD are errors.
    pub status: StatusResponse,
}

/// How a client behaves.
#[derive(Debug, Clone, Default)]
pub struct ClientOptions {
    /// How exactly the server must follow the grammar; lenient if not said otherwise.
    pub mode: Mode,
    /// How much is accepted of it.
    pub limits: ResponseLimits,
}

/// A command that was sent and not yet answered; see [`Client::start`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Started {
    pub(crate) tag: Tag,
}

#[derive(Debug)]
struct Outstanding {
    tag: Tag,
    command: &'static str,
    untagged: Vec<Untagged>,
    /// Nobody waits for it any more.
    abandoned: bool,
}

/// How many unsolicited responses are kept until somebody takes them; then the oldest go.
const UNSOLICITED_MAX: usize = 100_000;

type Handler = Box<dyn FnMut(Untagged) + Send>;

/// The most messages of one command, and where a command stopped (RFC 9738 §3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageLimit {
    /// The most messages of one command.
    pub limit: u32,
    /// The lowest UID that was processed, if the server says.
    pub lowest: Option<Uid>,
}

/// A connection to an IMAP server. See the [crate] for an example.
///
/// A call that is dropped before it is done leaves the connection in the middle of a command;
/// later calls go on from there. Errors for which [`Error::is_refusal`] is false end it.
pub struct Client {
    pub(crate) connection: Connection,
    next_tag: u64,
    outstanding: VecDeque<Outstanding>,
    done: HashMap<Tag, (&'static str, Reply)>,
    pub(crate) greeting: Option<StatusResponse>,
    /// What a login can be bound to.
    pub(crate) channel: Channel,
    capabilities: Option<Vec<String>>,
    /// How often the server told its capabilities.
    capabilities_told: u64,
    /// What the server said last that it had cut a command to.
    message_limit: Option<MessageLimit>,
    unsolicited: VecDeque<Untagged>,
    unsolicited_lost: u64,
    handler: Option<Handler>,
    bye: Option<StatusResponse>,
    /// An IDLE whose DONE was not sent.
    pub(crate) idling: bool,
    /// An APPEND whose message was not sent completely: nothing else can be sent.
    pub(crate) broken: bool,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("outstanding", &self.outstanding)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Connects without TLS and reads the greeting; see [`starttls`](Self::starttls).
    ///
    /// # Errors
    /// The connection cannot be made, or the server says BYE.
    pub async fn connect(address: impl ToSocketAddrs) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Self::over(stream, ClientOptions::default()).await
    }

    /// Connects with TLS from the first byte and reads the greeting.
    ///
    /// # Errors
    /// As [`connect`](Self::connect); the certificate is not one to trust.
    pub async fn connect_tls(
        address: impl ToSocketAddrs,
        server_name: &str,
        tls: &Tls,
    ) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (stream, channel) = tls.connect(Box::new(stream), server_name).await?;
        let mut client = Self::over(stream, ClientOptions::default()).await?;
        client.channel = channel;
        Ok(client)
    }

    /// Speaks IMAP over a stream that is there already, and reads the greeting.
    ///
    /// # Errors
    /// The server says BYE, or something that is no greeting.
    pub async fn over(io: impl Io + 'static, options: ClientOptions) -> Result<Self> {
        let mut client = Self {
            connection: Connection::new(Box::new(io), options.mode, options.limits),
            next_tag: 0,
            outstanding: VecDeque::new(),
            done: HashMap::new(),
            greeting: None,
            channel: Channel::default(),
            capabilities: None,
            capabilities_told: 0,
            unsolicited: VecDeque::new(),
            unsolicited_lost: 0,
            message_limit: None,
            handler: None,
            bye: None,
            idling: false,
            broken: false,
        };
        match client.connection.next().await? {
            Incoming::Response(Response::Status(greeting)) if greeting.tag.is_none() => {
                client.note_code(greeting.code.as_ref());
                if greeting.condition == Condition::Bye {
                    return Err(Error::Bye {
                        code: greeting.code,
                        text: greeting.text,
                    });
                }
                client.greeting = Some(greeting);
                Ok(client)
            }
            _ => Err(Error::Protocol("the greeting is not OK, PREAUTH or BYE")),
        }
    }

    /// Whether the greeting was PREAUTH: no login is needed.
    pub fn is_preauthenticated(&self) -> bool {
        self.greeting
            .as_ref()
            .is_some_and(|g| g.condition == Condition::PreAuth)
    }

    /// The text of the greeting.
    pub fn greeting(&self) -> &str {
        self.greeting.as_ref().map_or("", |greeting| &greeting.text)
    }

    /// Whether the server said that it can do this; false while it has said nothing. See
    /// [`capabilities`](Self::capabilities).
    pub fn has(&self, capability: &str) -> bool {
        self.known_capabilities()
            .iter()
            .any(|c| c.eq_ignore_ascii_case(capability))
    }

    /// The capabilities that the server told last; empty while it has told none.
    pub fn known_capabilities(&self) -> &[String] {
        self.capabilities.as_deref().unwrap_or_default()
    }

    pub(crate) fn forget_capabilities(&mut self) {
        self.capabilities = None;
    }

    pub(crate) fn knows_capabilities(&self) -> bool {
        self.capabilities.is_some()
    }

    /// Takes what the server said since the last call of a limit that a command met (RFC 9738): FETCH, SEARCH,
    /// STORE, MOVE and UID EXPUNGE were done for the messages with the highest UIDs only, and are to be
    /// repeated for those below; COPY and APPEND were not done.
    pub fn take_message_limit(&mut self) -> Option<MessageLimit> {
        self.message_limit.take()
    }

    /// Takes the unsolicited responses that came since the last call: those that no command
    /// asked for. If nobody takes them, the newest 100,000 are kept.
    pub fn take_unsolicited(&mut self) -> Vec<Untagged> {
        self.unsolicited.drain(..).collect()
    }

    /// How many unsolicited responses were dropped because nobody took them.
    pub fn unsolicited_lost(&self) -> u64 {
        self.unsolicited_lost
    }

    /// Gives unsolicited responses to a function from now on, instead of a queue. It is called
    /// while replies are read; it should not take long.
    pub fn on_unsolicited(&mut self, handler: impl FnMut(Untagged) + Send + 'static) {
        self.handler = Some(Box::new(handler));
    }

    /// Sends a command and waits for its reply.
    ///
    /// # Errors
    /// [`Error::No`] and [`Error::Bad`] if that is the answer; the others end the connection.
    pub async fn run(&mut self, body: CommandBody) -> Result<Reply> {
        let started = self.start(body).await?;
        self.finish(started).await
    }

    /// Sends a command without waiting for its reply, so that several are under way at once
    /// (RFC 9051 §5.5 says which can be). What comes untagged is given to the oldest of them.
    ///
    /// Commands without synchronizing literals are only queued, and sent when a reply is waited
    /// for, or by [`flush`](Self::flush).
    ///
    /// # Errors
    /// As [`run`](Self::run): a literal in it may be refused before it is sent completely.
    pub async fn start(&mut self, body: CommandBody) -> Result<Started> {
        let tag = self.new_tag()?;
        let name = body.name();
        let command = Command {
            tag: tag.clone(),
            body,
            utf8_quoted: false,
        };
        let encoded = encode_command(&command, self.encoding())?;
        self.expect_reply(tag.clone(), name);
        self.send(&tag, &encoded).await?;
        Ok(Started { tag })
    }

    /// Sends what [`start`](Self::start) queued.
    ///
    /// # Errors
    /// The connection failed.
    pub async fn flush(&mut self) -> Result<()> {
        self.connection.flush().await
    }

    /// Waits for the reply to a command.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn finish(&mut self, started: Started) -> Result<Reply> {
        self.connection.flush().await?;
        loop {
            if let Some((command, reply)) = self.done.remove(&started.tag) {
                return self.judge(command, reply);
            }
            if !self.outstanding.iter().any(|o| o.tag == started.tag) {
                return Err(Error::Misuse("the reply to this command was taken before"));
            }
            self.step().await?;
        }
    }

    /// Waits for the reply to an AUTHENTICATE; to a challenge, which can only be an error after
    /// the one message of the client, the answer is empty (RFC 7628 §3.2.3).
    pub(crate) async fn finish_or_answer(&mut self, started: Started) -> Result<Reply> {
        self.connection.flush().await?;
        for _ in 0..1000 {
            if self.done.contains_key(&started.tag) {
                return self.finish(started).await;
            }
            if self.step().await?.is_some() {
                self.connection.queue(b"\r\n");
                self.connection.flush().await?;
            }
        }
        Err(Error::Protocol("the authentication does not end"))
    }

    /// The command's answer, or the challenge before it.
    pub(crate) async fn finish_or_challenge(
        &mut self,
        tag: &Tag,
    ) -> Result<std::result::Result<Reply, Vec<u8>>> {
        self.connection.flush().await?;
        loop {
            if let Some((command, reply)) = self.done.remove(tag) {
                return self.judge(command, reply).map(Ok);
            }
            if let Some(text) = self.step().await? {
                return Ok(Err(text));
            }
        }
    }

    fn judge(&mut self, command: &'static str, reply: Reply) -> Result<Reply> {
        let refusal = |status: StatusResponse| {
            Box::new(Refusal {
                command,
                code: status.code,
                text: status.text,
            })
        };
        match reply.status.condition {
            Condition::Ok => Ok(reply),
            condition => {
                reply.untagged.into_iter().for_each(|u| self.deliver(u));
                let refusal = refusal(reply.status);
                Err(if condition == Condition::No {
                    Error::No(refusal)
                } else {
                    Error::Bad(refusal)
                })
            }
        }
    }

    /// A new tag. Ends an IDLE whose end was not waited for.
    pub(crate) fn new_tag(&mut self) -> Result<Tag> {
        if self.broken {
            return Err(Error::Misuse(
                "a message was not sent completely: connect again",
            ));
        }
        if std::mem::take(&mut self.idling) {
            self.connection.queue(b"DONE\r\n");
        }
        self.next_tag += 1;
        // A letter and digits make a tag.
        Tag::new(format!("r{}", self.next_tag)).ok_or(Error::Misuse("no tag"))
    }

    pub(crate) fn expect_reply(&mut self, tag: Tag, command: &'static str) {
        let untagged = Vec::new();
        self.outstanding.push_back(Outstanding {
            tag,
            command,
            untagged,
            abandoned: false,
        });
    }

    /// Nobody will ask for this reply: what it brings is dropped.
    pub(crate) fn abandon(&mut self, tag: &Tag) {
        self.done.remove(tag);
        if let Some(outstanding) = self.outstanding.iter_mut().find(|o| &o.tag == tag) {
            outstanding.abandoned = true;
            outstanding.untagged = Vec::new();
        }
    }

    /// What has come for a command so far, taken from its reply, and whether it is done. One
    /// response is accepted between two calls, so there is at most one thing to take.
    pub(crate) fn progress(&mut self, tag: &Tag) -> (Vec<Untagged>, bool) {
        if let Some((_, reply)) = self.done.get_mut(tag) {
            return (std::mem::take(&mut reply.untagged), true);
        }
        let outstanding = self.outstanding.iter_mut().find(|o| &o.tag == tag);
        (
            outstanding
                .map(|o| std::mem::take(&mut o.untagged))
                .unwrap_or_default(),
            false,
        )
    }

    /// Puts back what [`progress`](Self::progress) gave too much of.
    pub(crate) fn put_back(&mut self, tag: &Tag, untagged: impl Iterator<Item = Untagged>) {
        let place = match self.done.get_mut(tag) {
            Some((_, reply)) => Some(&mut reply.untagged),
            None => self
                .outstanding
                .iter_mut()
                .find(|o| &o.tag == tag)
                .map(|o| &mut o.untagged),
        };
        if let Some(place) = place {
            let later = std::mem::replace(place, untagged.collect());
            place.extend(later);
        }
    }

    /// How to write commands for this server.
    pub(crate) fn encoding(&self) -> CommandEncoding {
        let literals = if self.has("LITERAL+") {
            LiteralSupport::Plus
        } else if self.has("LITERAL-") || self.has("IMAP4rev2") {
            LiteralSupport::Minus
        } else {
            LiteralSupport::Synchronizing
        };
        CommandEncoding {
            literals,
            utf8: self.connection.mode.utf8(),
        }
    }

    /// Sends the segments of a command, each as the server lets it.
    pub(crate) async fn send(&mut self, tag: &Tag, encoded: &EncodedCommand) -> Result<()> {
        for (i, segment) in encoded.segments.iter().enumerate() {
            self.connection.queue(segment);
            let last = i + 1 == encoded.segments.len();
            if !last || encoded.wait_after_last {
                self.wait_for_continuation(tag).await?;
            }
        }
        Ok(())
    }

    /// Waits for `+`, and gives its text.
    ///
    /// # Errors
    /// The command was answered instead.
    pub(crate) async fn wait_for_continuation(&mut self, tag: &Tag) -> Result<Vec<u8>> {
        self.connection.flush().await?;
        loop {
            if let Some((command, reply)) = self.done.remove(tag) {
                self.judge(command, reply)?;
                return Err(Error::Protocol("OK instead of a continuation request"));
            }
            if let Some(text) = self.step().await? {
                return Ok(text);
            }
        }
    }

    /// Takes in one response. A continuation request is given to the caller.
    async fn step(&mut self) -> Result<Option<Vec<u8>>> {
        match self.incoming().await? {
            Incoming::Response(response) => Ok(self.accept(response)),
            // The body of a FETCH whose stream was dropped.
            Incoming::BodyStart(..) | Incoming::BodyChunk(_) | Incoming::BodyEnd => Ok(None),
        }
    }

    /// The next thing from the server; its BYE instead of the bare end of the connection.
    pub(crate) async fn incoming(&mut self) -> Result<Incoming> {
        match self.connection.next().await {
            Err(Error::Closed | Error::Io(_)) if self.bye.is_some() => {
                let bye = self.bye.take();
                let (code, text) = bye.map(|bye| (bye.code, bye.text)).unwrap_or_default();
                Err(Error::Bye { code, text })
            }
            other => other,
        }
    }

    /// Puts a response where it belongs.
    pub(crate) fn accept(&mut self, response: Response) -> Option<Vec<u8>> {
        let untagged = match response {
            Response::Continuation(text) => return Some(text),
            Response::Status(status) if status.tag.is_some() => {
                self.tagged(status);
                return None;
            }
            Response::Status(status) => {
                self.note_code(status.code.as_ref());
                if status.condition == Condition::Bye {
                    self.bye = Some(status.clone());
                }
                Untagged::Status(status)
            }
            Response::Data(data) => {
                self.note_data(&data);
                Untagged::Data(data)
            }
        };
        match self.outstanding.front_mut() {
            Some(outstanding) if outstanding.abandoned => {}
            Some(outstanding) => outstanding.untagged.push(untagged),
            None => self.deliver(untagged),
        }
        None
    }

    fn tagged(&mut self, status: StatusResponse) {
        self.note_code(status.code.as_ref());
        let Some(at) = self
            .outstanding
            .iter()
            .position(|o| Some(&o.tag) == status.tag.as_ref())
        else {
            // An answer to nothing. It cannot be given to anybody.
            return self.deliver(Untagged::Status(status));
        };
        let Some(outstanding) = self.outstanding.remove(at) else {
            return;
        };
        if !outstanding.abandoned {
            let reply = Reply {
                untagged: outstanding.untagged,
                status,
            };
            self.done
                .insert(outstanding.tag, (outstanding.command, reply));
        }
    }

    /// Gives a response that no command asked for to the handler or the queue.
    pub(crate) fn deliver(&mut self, untagged: Untagged) {
        if let Some(handler) = &mut self.handler {
            return handler(untagged);
        }
        if self.unsolicited.len() >= UNSOLICITED_MAX {
            self.unsolicited.pop_front();
            self.unsolicited_lost += 1;
        }
        self.unsolicited.push_back(untagged);
    }

    /// Sorts a reply: what `pick` takes is the command's own, the rest is unsolicited.
    pub(crate) fn own<T>(
        &mut self,
        reply: Vec<Untagged>,
        mut pick: impl FnMut(UntaggedData) -> std::result::Result<T, UntaggedData>,
    ) -> Vec<T> {
        let mut own = Vec::new();
        for untagged in reply {
            match untagged {
                Untagged::Data(data) => match pick(data) {
                    Ok(item) => own.push(item),
                    Err(data) => self.deliver(Untagged::Data(data)),
                },
                status => self.deliver(status),
            }
        }
        own
    }

    fn tell_capabilities(&mut self, capabilities: &[String]) {
        self.capabilities = Some(capabilities.to_vec());
        self.capabilities_told += 1;
    }

    pub(crate) fn capabilities_told(&self) -> u64 {
        self.capabilities_told
    }

    fn note_code(&mut self, code: Option<&Code>) {
        match code {
            Some(Code::Capability(capabilities)) => self.tell_capabilities(capabilities),
            Some(Code::MessageLimit { limit, lowest }) => {
                self.message_limit = Some(MessageLimit {
                    limit: limit.get(),
                    lowest: *lowest,
                });
            }
            _ => {}
        }
    }

    fn note_data(&mut self, data: &UntaggedData) {
        match data {
            UntaggedData::Capability(capabilities) => {
                self.tell_capabilities(capabilities);
            }
            UntaggedData::Enabled(enabled) => {
                let utf8 = |name: &String| {
                    name.eq_ignore_ascii_case("UTF8=ACCEPT")
                        || name.eq_ignore_ascii_case("IMAP4rev2")
                };
                if enabled.iter().any(utf8) {
                    self.connection.mode = self.connection.mode.with_utf8(true);
                }
            }
            _ => {}
        }
    }

    // For tests: bytes and responses as they are.

    /// Sends bytes as they are, past all bookkeeping.
    ///
    /// # Errors
    /// The connection failed.
    pub async fn send_raw(&mut self, bytes: &[u8]) -> Result<()> {
        self.connection.queue(bytes);
        self.connection.flush().await
    }

    /// Reads one response, past all bookkeeping.
    ///
    /// # Errors
    /// The connection ended, or the response cannot be decoded.
    pub async fn read_response(&mut self) -> Result<Response> {
        let frame = self.connection.frame().await?;
        let mode = self.connection.mode;
        Ok(restante_proto::client::decode_response(&frame, mode)?)
    }

    /// Reads one response as bytes, past all bookkeeping.
    ///
    /// # Errors
    /// The connection ended.
    pub async fn read_frame(&mut self) -> Result<ResponseFrame> {
        self.connection.frame().await
    }

    /// Reads responses up to the one with this tag, past all bookkeeping.
    ///
    /// # Errors
    /// As [`read_response`](Self::read_response).
    pub async fn read_until(&mut self, tag: &str) -> Result<Vec<Response>> {
        let mut responses = Vec::new();
        loop {
            let response = self.read_response().await?;
            let last = matches!(&response, Response::Status(s)
                if s.tag.as_ref().is_some_and(|t| t.as_str() == tag));
            responses.push(response);
            if last {
                return Ok(responses);
            }
        }
    }

    /// Changes how exactly responses must follow the grammar, from the next one on.
    pub fn set_mode(&mut self, mode: Mode) {
        self.connection.mode = mode;
    }

    /// Whether the reply to a command that was started is there, without waiting.
    pub fn is_done(&self, started: &Started) -> bool {
        self.done.contains_key(&started.tag)
    }
}
