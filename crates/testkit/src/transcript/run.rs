//! A transcript against a server of its own.

use std::collections::HashMap;

use super::session::{Deflate, Session};
use super::{Failure, Setup, Start, Step, Transcript, Version, failure};
use crate::world::{World, WorldOptions};

impl Transcript {
    /// Runs it under one version, with a server of its own; ends with a check of the store.
    ///
    /// # Errors
    /// The first expectation that is not met.
    ///
    /// With `tls`, its connections are TLS but for those that the transcript calls plain.
    pub async fn run(&self, version: Version, tls: bool) -> Result<(), Failure> {
        let mut options = WorldOptions {
            tls,
            ..WorldOptions::default()
        };
        for (line, setup) in &self.setup {
            if let Setup::Limit { name, value } = setup {
                options
                    .limit(name, value)
                    .map_err(|what| Failure { line: *line, what })?;
            }
        }
        let world = World::new(options).await;
        let mut run = Run {
            world,
            sessions: HashMap::new(),
            names: HashMap::new(),
        };
        self.set_up(&mut run, version).await?;
        let steps: Vec<_> = self
            .steps
            .iter()
            .filter(|(_, only, _)| only.is_none_or(|only| only == version))
            .collect();
        for (index, (line, _, step)) in steps.iter().enumerate() {
            let following = steps[index..].iter().map(|(_, _, step)| step);
            run.step(*line, step, following).await?;
        }
        let last = steps.last().map_or(0, |(line, _, _)| *line);
        let mut names: Vec<_> = run.sessions.keys().cloned().collect();
        names.sort();
        for name in names {
            run.end(last, &name).await?;
        }
        run.world
            .check()
            .await
            .map_err(|what| Failure { line: last, what })
    }

    async fn set_up(&self, run: &mut Run, version: Version) -> Result<(), Failure> {
        for (line, setup) in &self.setup {
            let fail = |what: String| Failure { line: *line, what };
            match setup {
                Setup::Mailbox { name, messages } => {
                    run.world.mailbox(name, *messages).await.map_err(fail)?;
                }
                Setup::Message {
                    mailbox,
                    flags,
                    date,
                    text,
                } => {
                    run.world
                        .message(mailbox, flags, date.as_deref(), text.as_bytes())
                        .await
                        .map_err(fail)?;
                }
                Setup::User { name, password } => {
                    run.world.user(name, password).await.map_err(fail)?;
                }
                Setup::Sessions { names, state, user } => {
                    for name in names {
                        self.start(run, *line, name, *state, user, version).await?;
                    }
                }
                Setup::Enable { .. } | Setup::Plaintext { .. } | Setup::Limit { .. } => {}
            }
        }
        Ok(())
    }

    async fn start(
        &self,
        run: &mut Run,
        line: usize,
        name: &str,
        state: Start,
        user: &str,
        version: Version,
    ) -> Result<(), Failure> {
        let secure = !self.setup.iter().any(
            |(_, setup)| matches!(setup, Setup::Plaintext { session } if session.as_str() == name),
        );
        let stream = run.world.connect(secure);
        run.sessions
            .insert(name.to_owned(), Session::new(name, stream));
        let session = run.session(line, name)?;
        let greeting = session.response(line).await?;
        if !greeting.starts_with("* OK ") {
            return failure(line, format!("the greeting is {greeting:?}"));
        }
        if state == Start::Connected {
            return Ok(());
        }
        let password = run.world.password(user).unwrap_or_default();
        let session = run.session(line, name)?;
        session
            .command(line, &format!("LOGIN {user} {password}"))
            .await?;
        if version == Version::Rev2 {
            session.command(line, "ENABLE IMAP4rev2").await?;
        }
        for (_, setup) in &self.setup {
            if let Setup::Enable {
                session: wanted,
                words,
            } = setup
                && wanted == name
            {
                session.command(line, &format!("ENABLE {words}")).await?;
            }
        }
        match state {
            Start::Selected => session.command(line, "SELECT INBOX").await,
            Start::Examined => session.command(line, "EXAMINE INBOX").await,
            Start::Connected | Start::Authenticated => Ok(()),
        }
    }
}

struct Run {
    world: World,
    sessions: HashMap<String, Session>,
    names: HashMap<String, String>,
}

impl Run {
    fn session(&mut self, line: usize, name: &str) -> Result<&mut Session, Failure> {
        match self.sessions.get_mut(name) {
            Some(session) => Ok(session),
            None => failure(line, format!("no session {name}")),
        }
    }

    async fn step<'a>(
        &mut self,
        line: usize,
        step: &Step,
        following: impl Iterator<Item = &'a Step>,
    ) -> Result<(), Failure> {
        match step {
            Step::Wait(time) => {
                tokio::time::sleep(*time).await;
                Ok(())
            }
            Step::Clock(time) => match self.world.advance_clock(*time) {
                true => Ok(()),
                false => failure(line, "the clock does not stand still: limit: clock_s"),
            },
            Step::Deliver(mailbox) => {
                let text = b"Subject: News\r\n\r\nText\r\n";
                let delivered = self.world.message(mailbox, &[], None, text).await;
                delivered.map_err(|what| Failure { line, what })
            }
            Step::Plain(name) => {
                self.session(line, name)?.deflate = None;
                Ok(())
            }
            Step::Compress(name) => {
                let session = self.session(line, name)?;
                session.deflate = Some(Deflate::new());
                Ok(())
            }
            Step::Send {
                session: name,
                parts,
                tagged,
            } => {
                let exchange: Vec<&Step> = following
                    .skip(1)
                    .filter(|step| step.session() == Some(name))
                    .take_while(|step| !matches!(step, Step::Send { .. }))
                    .collect();
                let expected = exchange
                    .iter()
                    .any(|step| matches!(step, Step::Expect { .. } | Step::Anything { .. }));
                let names = self.names.clone();
                let session = self.session(line, name)?;
                if expected || !session.pipelining {
                    session.seen.clear();
                }
                session.pipelining = !expected;
                session.lax = exchange
                    .iter()
                    .any(|step| matches!(step, Step::Anything { .. } | Step::Refuse { .. }));
                session.send(line, parts, *tagged, &names).await
            }
            Step::Anything { .. } => Ok(()),
            Step::Expect {
                session: name,
                pattern,
            } => {
                let mut names = std::mem::take(&mut self.names);
                let session = self.session(line, name)?;
                let result = session.expect(line, pattern, &mut names).await;
                self.names = names;
                result
            }
            Step::Refuse {
                session: name,
                text,
            } => {
                let more = following.skip(1).any(|step| match step {
                    Step::Expect { session, .. } => session == name,
                    _ => false,
                });
                let session = self.session(line, name)?;
                session.refused.push((line, text.clone()));
                if !more {
                    session.listen(line).await?;
                }
                session.check_refused()
            }
        }
    }

    /// Logs a session out; nothing unexpected may have been waiting.
    async fn end(&mut self, line: usize, name: &str) -> Result<(), Failure> {
        let session = self.session(line, name)?;
        if session.closed {
            return Ok(());
        }
        session.lax = false;
        session
            .send(line, &["LOGOUT".to_owned()], true, &HashMap::new())
            .await?;
        let mut names = HashMap::new();
        session.expect(line, "* BYE", &mut names).await?;
        session.expect(line, "OK", &mut names).await
    }
}
