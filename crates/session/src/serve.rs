//! The loop of a session: input in, commands run one at a time, answers out.
//!
//! Between commands the session's future is small: a command's own future is boxed and dropped when
//! the command ends, and IDLE is a mode of this loop.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use restante_mailbox::{AccountId, MailError, MailboxId};
use restante_proto::types::{Code, Command, CommandBody, Condition, ReplaceTarget, Tag};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::conn::Conn;
use crate::cx::Cx;
use crate::enabled::Enabled;
use crate::env::{Env, Peer};
use crate::io::Io;
use crate::notify::{self, Notify};
use crate::referral;
use crate::reply::{self, Failure, Outcome, Reply, client_bug};
use crate::state::State;
use crate::table::{self, Rule};
use crate::wire::Input;
use crate::{cmd, place, switch, sync};

/// No command, and no upload, takes longer: well below the time for which what it refers to is kept
/// after it was expunged (design §5).
const COMMAND_TIME_MAX: Duration = Duration::from_secs(6 * 3600);

/// Serves one connection until it ends.
///
/// The greeting is sent first; the caller has done TLS already where the port wants it.
pub async fn serve(io: Box<dyn Io>, env: Arc<Env>, peer: Peer) {
    let mut session = Box::new(Session::new(io, env, peer));
    session.run().await;
}

struct Session {
    cx: Cx,
    state: State,
    idle: Option<Tag>,
    /// When the client is given up, unless a command comes before.
    deadline: Instant,
    /// When an idling client is sent a sign of life.
    keepalive: Option<Instant>,
    shutdown: watch::Receiver<bool>,
    /// Becomes true when the user who has logged in is locked out.
    closed: Option<watch::Receiver<bool>>,
}

/// What woke the loop.
enum Event {
    Input(Input),
    Closed,
    Changed,
    KeepAlive,
    Timeout,
    LockedOut,
    Shutdown,
}

/// Whether the session goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    On,
    End,
}

impl Session {
    fn new(io: Box<dyn Io>, env: Arc<Env>, peer: Peer) -> Session {
        let conn = Conn::new(io, &env.limits, env.authenticator.offers().tokens);
        let shutdown = env.shutdown.clone();
        let deadline = Instant::now() + env.limits.login_timeout;
        Session {
            cx: Cx {
                conn,
                env,
                peer,
                enabled: Enabled::default(),
                client: None,
                hidden_from_user: Vec::new(),
                notify: None,
                comparator: Default::default(),
                language: Default::default(),
                limited: None,
                uid_command: false,
                running: None,
            },
            state: State::NotAuthenticated(Default::default()),
            idle: None,
            deadline,
            keepalive: None,
            shutdown,
            closed: None,
        }
    }

    async fn run(&mut self) {
        let words = self.cx.capabilities(&self.state);
        self.cx.status(
            None,
            &Reply::ok("Restante ready").code(Code::Capability(words)),
        );
        let end = loop {
            let event = match self.next().await {
                Ok(event) => event,
                Err(error) => break Err(error),
            };
            match Box::pin(self.handle(event)).await {
                Ok(Flow::On) => {}
                Ok(Flow::End) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        if let Err(error) = &end {
            tracing::debug!(peer = %self.cx.peer, %error, "connection lost");
        }
        if let Ok(login) = self.state.login() {
            tracing::info!(peer = %self.cx.peer, user = %login.name, "logout");
        }
        self.state = State::Logout;
        if self.cx.conn.is_stalled() {
            // RFC 9051 §3.4: not without a word.
            let bye = Reply::bye("The command was not completed in time");
            self.cx.status(None, &bye);
        }
        if end.is_ok() || self.cx.conn.is_stalled() {
            Box::pin(self.cx.conn.close()).await;
        }
    }

    /// Waits for what is next. Answers are written as soon as no further command is there.
    async fn next(&mut self) -> io::Result<Event> {
        match self.state.login() {
            Ok(login) if self.closed.is_none() => self.closed = Some(login.account.closed()),
            Ok(_) => {}
            Err(_) => self.closed = None,
        }
        loop {
            if self.closed.as_ref().is_some_and(|closed| *closed.borrow()) {
                return Ok(Event::LockedOut);
            }
            if let Some(input) = self.cx.conn.buffered() {
                self.cx.conn.flush_if_large().await?;
                return Ok(Event::Input(input));
            }
            if *self.shutdown.borrow() {
                return Ok(Event::Shutdown);
            }
            Box::pin(self.cx.conn.flush()).await?;
            let wake = match self.keepalive {
                Some(keepalive) => keepalive.min(self.deadline),
                None => self.deadline,
            };
            // Without NOTIFY only an idling client is told anything between commands.
            let idles = self.idle.is_some();
            let listens = match self.cx.notify.as_deref().and_then(Notify::selected) {
                Some(wants) => wants.messages,
                None => idles,
            };
            let open = self.state.selected_id();
            let notify = self.cx.notify.as_deref_mut();
            let notify = notify.filter(|notify| idles || notify.selected().is_some());
            let changes = match &mut self.state {
                State::Selected(_, selected) => listens.then_some(&mut selected.changes),
                _ => None,
            };
            tokio::select! {
                open = self.cx.conn.fill() => {
                    if !open? {
                        return Ok(Event::Closed);
                    }
                }
                () = changed(changes) => return Ok(Event::Changed),
                () = elsewhere(notify, open) => return Ok(Event::Changed),
                () = locked_out(self.closed.as_mut()) => return Ok(Event::LockedOut),
                () = tokio::time::sleep_until(wake) => {
                    return Ok(if wake == self.deadline { Event::Timeout } else { Event::KeepAlive });
                }
                result = self.shutdown.changed() => {
                    if result.is_err() || *self.shutdown.borrow() {
                        return Ok(Event::Shutdown);
                    }
                }
            }
        }
    }

    async fn handle(&mut self, event: Event) -> io::Result<Flow> {
        match event {
            Event::Input(input) => {
                self.touch();
                self.input(input).await
            }
            Event::Closed => Ok(Flow::End),
            Event::Changed => self.announce().await,
            Event::KeepAlive => {
                self.keepalive = self.next_keepalive();
                self.cx.status(None, &Reply::ok("Still here"));
                Ok(Flow::On)
            }
            Event::Timeout => {
                let text = match self.state {
                    State::NotAuthenticated(_) => "Login took too long",
                    _ => "Idle for too long",
                };
                self.bye(Reply::bye(text))
            }
            Event::LockedOut => self.bye(Reply::bye("You are locked out").code(Code::ContactAdmin)),
            Event::Shutdown => {
                self.bye(Reply::bye("The server is going down").code(Code::Unavailable))
            }
        }
    }

    /// A sign of life came from the client. The time to log in is not prolonged by it.
    fn touch(&mut self) {
        if !matches!(self.state, State::NotAuthenticated(_)) {
            self.deadline = Instant::now() + self.cx.env.limits.idle_timeout;
        }
    }

    fn bye(&mut self, reply: Reply) -> io::Result<Flow> {
        self.cx.status(None, &reply);
        Ok(Flow::End)
    }

    async fn input(&mut self, input: Input) -> io::Result<Flow> {
        self.cx.conn.set_deadline(match self.state {
            State::NotAuthenticated(_) => self.deadline,
            _ => Instant::now() + COMMAND_TIME_MAX,
        });
        match input {
            Input::Command(command) => self.command(*command).await,
            Input::Append(head) => {
                let tag = head.tag.clone();
                let start = Instant::now();
                let (name, rule) = match head.replace {
                    None => ("APPEND", table::APPEND),
                    Some(_) => ("REPLACE", table::REPLACE),
                };
                if let Some(notify) = &mut self.cx.notify {
                    notify.note_append(head.replace.is_some());
                }
                self.cx.uid_command = matches!(head.replace, Some(ReplaceTarget::Uid(_)));
                let allowed = rule.check(&self.state);
                let allowed = allowed.and_then(|()| self.check_utf8(rule));
                let here = allowed
                    .and_then(|()| referral::check_mailbox(&self.cx, &self.state, &head.mailbox));
                let outcome = match here {
                    Ok(()) => cmd::append(&mut self.cx, &mut self.state, *head).await,
                    Err(failure) => Err(failure),
                };
                // Whatever the command did not take of its message is no command.
                self.cx.conn.refuse();
                self.finish(tag, name, rule, outcome, start).await
            }
            Input::Line(line) => match self.idle.take() {
                Some(tag) => self.end_idle(tag, &line).await,
                None => Ok(Flow::On),
            },
            Input::Bad(tag, reply) => {
                if let Some(tag) = self.idle.take() {
                    // A line that is no DONE and too long to look at.
                    return self.end_idle(tag, b"").await;
                }
                if matches!(self.state, State::NotAuthenticated(_)) {
                    // The reason is ours: nothing of what was sent is in it.
                    tracing::info!(peer = %self.cx.peer, reason = %reply.text, "no command, before a login");
                }
                self.cx.status(tag.as_ref(), &reply);
                self.count_bad()
            }
            // Left over from an APPEND that was refused.
            Input::Chunk(_)
            | Input::LiteralEnd
            | Input::AppendEnd
            | Input::Catenate(_)
            | Input::CatenateEnd => Ok(Flow::On),
            Input::Bye(text) => {
                tracing::info!(peer = %self.cx.peer, reason = text, "connection ended");
                self.bye(Reply::bye(text).code(Code::ClientBug))
            }
        }
    }

    async fn command(&mut self, command: Command) -> io::Result<Flow> {
        let start = Instant::now();
        let tag = command.tag.clone();
        let name = command.body.name();
        let rule = table::of(&command.body);
        self.cx.uid_command = table::is_uid(&command.body);
        if let Some(notify) = &mut self.cx.notify {
            notify.note_command(&command.body);
        }
        let numbers = self.cx.enabled.uid_only() && table::uses_numbers(&command.body);
        let allowed = match numbers {
            true => Err(table::uid_required()),
            false => rule.check(&self.state),
        };
        let allowed = allowed.and_then(|()| self.check_utf8(rule));
        let allowed = allowed.and_then(|()| switch::command(&self.cx, &command.body));
        let here = allowed.and_then(|()| referral::check(&self.cx, &self.state, &command.body));
        let outcome = match here {
            Ok(()) if matches!(command.body, CommandBody::Idle) => {
                return self.start_idle(tag).await;
            }
            Ok(()) => match place::look_again(&self.cx.env, &mut self.state).await {
                // Who leaves the mailbox reads nothing more of it.
                Err(failure) if !table::leaves(&command.body) => Err(failure),
                _ => {
                    self.cx.running = Some((tag.clone(), start));
                    let outcome = cmd::run(&mut self.cx, &mut self.state, command).await;
                    self.cx.running = None;
                    outcome
                }
            },
            Err(failure) => Err(failure),
        };
        self.finish(tag, name, rule, outcome, start).await
    }

    /// Where UTF8=ONLY is told, mail is for who has enabled UTF8=ACCEPT (RFC 9755 §7).
    fn check_utf8(&self, rule: Rule) -> Result<(), Failure> {
        let cx = &self.cx;
        if cx.enabled.utf8_accept() || !rule.may_need_utf8() || !cx.utf8_only() {
            return Ok(());
        }
        let reply = Reply::no("ENABLE UTF8=ACCEPT comes first");
        Err(reply.code(Code::Cannot).into())
    }

    /// The end of every command: the sync point, then the tagged answer.
    async fn finish(
        &mut self,
        tag: Tag,
        name: &'static str,
        rule: Rule,
        outcome: Outcome,
        start: Instant,
    ) -> io::Result<Flow> {
        let mut after = None;
        let reply = match outcome {
            Ok(reply) | Err(Failure::Reply(reply)) => reply,
            Err(Failure::Mail(error)) => {
                if reply::is_ours(&error) {
                    tracing::error!(peer = %self.cx.peer, command = name, %error, "command failed");
                }
                reply::mail_error(&error)
            }
            Err(Failure::LastReply(reply, text)) => {
                after = Some(Reply::bye(text));
                reply
            }
            Err(Failure::Logout) => {
                self.cx.status(None, &Reply::bye("Logging out"));
                self.cx.status(Some(&tag), &Reply::ok("LOGOUT completed"));
                return Ok(Flow::End);
            }
            Err(Failure::StartTls(reply)) => {
                self.cx.status(Some(&tag), &reply);
                return self.start_tls().await;
            }
            Err(Failure::Compress(reply)) => {
                if let Some(bye) = self.sync(rule.expunge).await? {
                    return self.bye(bye);
                }
                self.cx.status(Some(&tag), &reply);
                self.cx.conn.start_compression().await?;
                self.touch();
                return Ok(Flow::On);
            }
            Err(Failure::Unauthenticate(reply)) => {
                self.unauthenticate(&tag, &reply).await?;
                return Ok(Flow::On);
            }
            Err(Failure::Bye(bye)) => return self.bye(bye),
            Err(Failure::Io(error)) => return Err(error),
        };
        let (reply, limited) = match self.cx.limited.take() {
            Some(limited) if reply.code.is_none() && reply.condition == Condition::Ok => {
                (reply.code(limited.code()), None)
            }
            limited => (reply, limited),
        };
        if let Some(code) = &reply.code {
            self.cx.note_own(code);
        }
        let synced = match reply.condition {
            Condition::Bad => Ok(None),
            _ => self.sync(rule.expunge).await,
        };
        // The command itself is done: its answer comes before a BYE.
        after = synced?.or(after);
        tracing::debug!(
            peer = %self.cx.peer,
            user = self.state.login().map_or("", |login| &*login.name),
            command = name,
            us = start.elapsed().as_micros() as u64,
            outcome = ?reply.condition,
            code = reply.code.as_deref().map(kind),
            "command"
        );
        if let Some(limited) = limited.filter(|_| reply.condition != Condition::Bad) {
            // The tagged answer has another code (RFC 9738 §3.1).
            let text = "Only some of the messages were processed";
            let told = Reply::no(text).code(limited.code());
            self.cx.status(None, &told);
        }
        self.cx.status(Some(&tag), &reply);
        self.cx.conn.utf8_names(self.cx.enabled.utf8_names());
        self.touch();
        if after.is_none() && self.expunges_are_due() {
            after = self.sync(true).await?;
        }
        match (after, reply.condition) {
            (Some(bye), _) => self.bye(bye),
            (None, Condition::Bad) => self.count_bad(),
            (None, _) => Ok(Flow::On),
        }
    }

    /// Expunges had to wait for the end of a command that uses numbers, and NOTIFY wants them at once
    /// (RFC 5465 §5.3, §6.1.1).
    fn expunges_are_due(&mut self) -> bool {
        let Some(wants) = self.cx.notify.as_deref().and_then(Notify::selected) else {
            return false;
        };
        let at_once = wants.messages && !wants.delayed;
        let waiting = |selected: &crate::state::Selected| selected.view.ghost_count() > 0;
        at_once
            && self
                .state
                .selected()
                .is_ok_and(|(_, selected)| waiting(selected))
    }

    /// Commands that are not understood are borne with after the login, not before.
    fn count_bad(&mut self) -> io::Result<Flow> {
        if let State::NotAuthenticated(guest) = &mut self.state {
            guest.bad_commands += 1;
            if guest.bad_commands >= self.cx.env.limits.bad_commands_max {
                let bye = Reply::bye("Too many bad commands").code(Code::ClientBug);
                return self.bye(bye);
            }
        }
        Ok(Flow::On)
    }

    async fn start_tls(&mut self) -> io::Result<Flow> {
        let limits = self.cx.env.limits.clone();
        match tokio::time::timeout_at(self.deadline, self.cx.conn.start_tls(&limits)).await {
            Ok(result) => result.map(|()| Flow::On),
            Err(_) => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "TLS handshake took too long",
            )),
        }
    }

    /// UNAUTHENTICATE: nothing is left but the connection and its TLS (RFC 8437 §3, §4.1).
    async fn unauthenticate(&mut self, tag: &Tag, reply: &Reply) -> io::Result<()> {
        if let Ok(login) = self.state.login() {
            tracing::info!(peer = %self.cx.peer, user = %login.name, "logout");
        }
        self.state = State::NotAuthenticated(Default::default());
        self.cx.enabled = Enabled::default();
        self.cx.notify = None;
        self.cx.hidden_from_user = Vec::new();
        self.cx.comparator = Default::default();
        self.cx.language = Default::default();
        self.cx.status(Some(tag), reply);
        self.deadline = Instant::now() + self.cx.env.limits.login_timeout;
        self.cx.conn.after_logout(&self.cx.env.limits).await
    }

    /// IDLE (RFC 9051 §6.3.13): what is new is told before the `+`.
    async fn start_idle(&mut self, tag: Tag) -> io::Result<Flow> {
        // Expunges too, also where NOTIFY delays them (RFC 5465 §6.1.2).
        let flow = match self.sync(true).await? {
            Some(bye) => self.bye(bye)?,
            None => Flow::On,
        };
        if flow == Flow::On {
            let text = self.cx.language.text("idling");
            self.cx.line(format_args!("+ {text}"));
            self.cx.conn.expect_line();
            self.idle = Some(tag);
            self.keepalive = self.next_keepalive();
        }
        Ok(flow)
    }

    fn next_keepalive(&self) -> Option<Instant> {
        self.cx
            .env
            .limits
            .idle_keepalive
            .map(|after: Duration| Instant::now() + after)
    }

    /// The sync point; gives the BYE that has to follow, if one has to.
    async fn sync(&mut self, expunge: bool) -> io::Result<Option<Reply>> {
        let told = match sync::sync(&mut self.cx, &mut self.state, expunge).await {
            Ok(()) => match cmd::updates::fetch(&mut self.cx, &mut self.state).await {
                Ok(()) => notify::tell(&mut self.cx, &mut self.state).await,
                failed => failed,
            },
            Err(failure) => Err(failure),
        };
        match told {
            Ok(()) => Ok(None),
            Err(Failure::Bye(bye)) => Ok(Some(bye)),
            Err(Failure::Io(error)) => Err(error),
            Err(Failure::Mail(error @ MailError::Damaged { .. })) => {
                // What the client was shown cannot be compared with what is there now: it has to
                // begin again.
                tracing::error!(peer = %self.cx.peer, %error, "the view cannot go on");
                let bye = Reply::bye("The mailbox has to be opened again");
                Ok(Some(bye.code(Code::Unavailable)))
            }
            Err(failure) => {
                // What cannot be told now is told at the next sync point.
                tracing::error!(peer = %self.cx.peer, ?failure, "sync failed");
                Ok(None)
            }
        }
    }

    /// Tells what changed, expunges too; but outside of IDLE not where NOTIFY delays them
    /// (RFC 5465 §6.1.2).
    async fn announce(&mut self) -> io::Result<Flow> {
        if let Err(Failure::Bye(bye)) = place::look_again(&self.cx.env, &mut self.state).await {
            return self.bye(bye);
        }
        let wants = self.cx.notify.as_deref().and_then(Notify::selected);
        let delayed = wants.is_some_and(|wants| wants.delayed);
        match self.sync(self.idle.is_some() || !delayed).await? {
            Some(bye) => self.bye(bye),
            None => Ok(Flow::On),
        }
    }

    async fn end_idle(&mut self, tag: Tag, line: &[u8]) -> io::Result<Flow> {
        self.keepalive = None;
        let outcome = if line.trim_ascii().eq_ignore_ascii_case(b"DONE") {
            Ok(Reply::ok("IDLE completed"))
        } else {
            Err(client_bug("Expected DONE"))
        };
        self.finish(
            tag,
            "IDLE",
            table::of(&CommandBody::Idle),
            outcome,
            Instant::now(),
        )
        .await
    }
}

/// Waits for what NOTIFY asked for of other mailboxes than the open one.
async fn elsewhere(notify: Option<&mut Notify>, open: Option<(AccountId, MailboxId)>) {
    match notify {
        Some(notify) => notify.changed(open).await,
        None => std::future::pending().await,
    }
}

/// Waits for a change of the selected mailbox; forever where nothing is watched.
async fn changed<T>(changes: Option<&mut watch::Receiver<T>>) {
    if let Some(changes) = changes
        && changes.changed().await.is_ok()
    {
        return;
    }
    std::future::pending().await
}

/// Waits until the user is locked out; forever where nobody has logged in.
async fn locked_out(closed: Option<&mut watch::Receiver<bool>>) {
    if let Some(closed) = closed
        && closed.wait_for(|closed| *closed).await.is_ok()
    {
        return;
    }
    std::future::pending().await
}

/// Which code it is, for the log: what is in it may be long, or a URL with its key.
fn kind(code: &Code) -> String {
    struct Word(String);

    impl std::fmt::Write for Word {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            for letter in text.chars() {
                if !letter.is_alphanumeric() {
                    return Err(std::fmt::Error);
                }
                self.0.push(letter);
            }
            Ok(())
        }
    }
    let mut word = Word(String::new());
    let _ = std::fmt::write(&mut word, format_args!("{code:?}"));
    word.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_logged_by_its_kind() {
        assert_eq!(
            kind(&Code::BadUrl(
                b"imap://host/;URLAUTH=x:internal:91".to_vec()
            )),
            "BadUrl"
        );
        assert_eq!(kind(&Code::ReadWrite), "ReadWrite");
    }
}
