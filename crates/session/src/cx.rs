//! What every command gets: the connection, the server around it, and what the client enabled.

use std::fmt;
use std::io;
use std::io::Write as _;
use std::sync::Arc;

use restante_auth::sasl::Channel;
use restante_proto::encode::Writer;
use restante_proto::types::{Code, Tag, UntaggedData};
use tokio::time::Instant;

use crate::capability::{self, Facts};
use crate::cmd::comparator::Comparator;
use crate::cmd::quota;
use crate::conn::Conn;
use crate::enabled::Enabled;
use crate::env::{Env, Peer};
use crate::language::Language;
use crate::message_limit::Limited;
use crate::notify::Notify;
use crate::reply::Reply;
use crate::state::{Selected, State};

/// The context of a command.
pub(crate) struct Cx {
    /// Reading and writing.
    pub(crate) conn: Conn,
    /// The server.
    pub(crate) env: Arc<Env>,
    /// The client's address.
    pub(crate) peer: Peer,
    /// What the client enabled.
    pub(crate) enabled: Enabled,
    /// Which of [`Env::hidden_from_clients`] is for this client, by its ID.
    pub(crate) client: Option<u16>,
    /// Capabilities that are hidden from the user who has logged in.
    pub(crate) hidden_from_user: Vec<String>,
    /// What NOTIFY asked for, after the first one.
    pub(crate) notify: Option<Box<Notify>>,
    /// What people are answered in.
    pub(crate) language: Language,
    /// What SEARCH, SORT and THREAD compare by.
    pub(crate) comparator: Comparator,
    /// What the command that runs was cut to.
    pub(crate) limited: Option<Limited>,
    /// The command that runs, or was the last, is a UID command.
    pub(crate) uid_command: bool,
    /// The command that runs: its tag, and when its client was last told something of it.
    pub(crate) running: Option<(Tag, Instant)>,
}

impl Cx {
    /// Writes a line. Nothing in it may come from outside: this knows no quoting.
    pub(crate) fn line(&mut self, line: fmt::Arguments<'_>) {
        let out = self.conn.out();
        // A Vec takes everything.
        let _ = out.write_fmt(line);
        out.extend_from_slice(b"\r\n");
    }

    /// The protocol's encoder for what this client enabled.
    pub(crate) fn writer(&mut self) -> Writer<'_> {
        let utf8 = self.enabled.utf8_names();
        Writer::new(self.conn.out(), utf8)
    }

    /// Writes a part of a line, as [`Cx::line`].
    pub(crate) fn write(&mut self, part: fmt::Arguments<'_>) {
        let _ = self.conn.out().write_fmt(part);
    }

    /// Writes untagged data.
    pub(crate) fn data(&mut self, data: &UntaggedData) {
        self.writer().data(data);
    }

    /// Writes `* OK [code] text`.
    pub(crate) fn untagged_ok(&mut self, code: Code, text: &'static str) {
        self.note_own(&code);
        self.status(None, &Reply::ok(text).code(code));
    }

    /// Tells how far a long command is: `done` of `goal` messages (RFC 9585), at most so often as the
    /// limits say, so never of a short one.
    pub(crate) async fn in_progress(&mut self, done: u32, goal: u32) -> io::Result<()> {
        let interval = self.env.limits.progress_interval;
        let is_due = matches!(&self.running, Some((_, told)) if told.elapsed() >= interval);
        if !is_due || self.hides("INPROGRESS") {
            return Ok(());
        }
        let Some((tag, told)) = &mut self.running else {
            return Ok(());
        };
        *told = Instant::now();
        // Goals are larger than 0, and what is done is less (RFC 9585 §4).
        let goal = goal.max(1);
        // A tag with a bracket cannot stand in a code (RFC 9585 §4).
        let tag = Some(tag.clone()).filter(|tag| !tag.as_str().contains(']'));
        let code = Code::InProgress(Some((tag, Some(done.min(goal - 1)), Some(goal))));
        self.status(None, &Reply::ok("Still at it").code(code));
        self.conn.flush().await
    }

    /// Messages that the client made itself are no event to it.
    pub(crate) fn note_own(&mut self, code: &Code) {
        if let Some(notify) = &mut self.notify {
            notify.note_own(code);
        }
    }

    /// Writes a status response.
    pub(crate) fn status(&mut self, tag: Option<&Tag>, reply: &Reply) {
        let Reply {
            condition,
            code,
            text,
        } = reply;
        let text = self.language.text(text);
        // RFC 5255 §3.2: in UTF-8.
        let utf8 = self.language != Language::Default;
        let mut writer = match utf8 {
            true => self.writer().with_utf8_text(),
            false => self.writer(),
        };
        writer.status_line(tag, *condition, code.as_deref(), &text);
    }

    /// Whether a password may be sent now (RFC 9051 §6.2.3, §11.1).
    pub(crate) fn password_allowed(&self) -> bool {
        self.conn.is_secure() || self.peer.is_local() || self.env.allow_plaintext_login
    }

    /// Whether a capability is switched off, for everybody here, for this user or for this client.
    pub(crate) fn hides(&self, word: &str) -> bool {
        capability::is_among(&self.env.hidden_capabilities, word)
            || capability::is_among(self.hidden_from_client(), word)
            || capability::is_among(&self.hidden_from_user, word)
            || (word == "IMAP4rev2" && !capability::is_rev2_whole(|part| self.hides(part)))
    }

    /// Whether anything is.
    pub(crate) fn hides_any(&self) -> bool {
        !self.env.hidden_capabilities.is_empty()
            || self.client.is_some()
            || !self.hidden_from_user.is_empty()
    }

    /// Whether only UTF-8 is spoken here (RFC 9755 §7).
    pub(crate) fn utf8_only(&self) -> bool {
        self.env.utf8_only && !self.hides("UTF8=ONLY")
    }

    /// The words that are hidden from clients like this one.
    fn hidden_from_client(&self) -> &[String] {
        let rules = &self.env.hidden_from_clients;
        let rule = self.client.and_then(|rule| rules.get(usize::from(rule)));
        rule.map_or(&[], |rule| &rule.hide)
    }

    /// The capabilities that hold now.
    pub(crate) fn capabilities(&self, state: &State) -> Vec<String> {
        let authenticated = !matches!(state, State::NotAuthenticated(_));
        let channel = match authenticated {
            true => Channel::default(),
            false => self.conn.channel(),
        };
        let login = state.login().ok();
        capability::words(&Facts {
            anonymous: login.is_some_and(|login| login.is_anonymous),
            sets_quotas: login.is_some_and(|login| quota::is_administrator(&self.env, login)),
            ..self.facts(authenticated, &channel)
        })
    }

    /// What the capabilities depend on.
    pub(crate) fn facts<'a>(&'a self, authenticated: bool, channel: &'a Channel) -> Facts<'a> {
        Facts {
            env: &self.env,
            hidden_from_client: self.hidden_from_client(),
            hidden_from_user: &self.hidden_from_user,
            password_allowed: self.password_allowed(),
            can_starttls: self.conn.can_starttls(),
            authenticated,
            anonymous: false,
            sets_quotas: false,
            offers: self.env.authenticator.offers(),
            channel,
        }
    }

    /// Notes a CONDSTORE enabling command; the first one tells the HIGHESTMODSEQ of the selected
    /// mailbox (RFC 7162 §3.1).
    pub(crate) fn condstore_aware(&mut self, selected: Option<&mut Selected>) {
        if self.enabled.enable_condstore()
            && let Some(selected) = selected
        {
            let highest = selected.view.highest_mod_seq();
            self.untagged_ok(Code::HighestModSeq(highest), "Highest");
        }
    }
}
