//! A store with one user, on either engine.

#![allow(dead_code, reason = "each test uses a part")]

use std::{sync::Arc, time::Duration};

use restante_mailbox::*;
use restante_store::{EmbeddedOptions, MemoryOptions, Store};

/// The user's name.
pub(crate) const USER: &str = "ann@example.org";

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    Memory,
    Embedded,
}

/// Mail of one user.
pub(crate) struct World {
    pub(crate) mail: Arc<Mail>,
    pub(crate) clock: ManualClock,
    engine: Engine,
    dir: Option<tempfile::TempDir>,
}

fn options(clock: &ManualClock) -> MailOptions {
    let mut options = MailOptions::default();
    options.clock = Arc::new(clock.clone());
    options.checkpoint_records = 40;
    options
}

async fn open(dir: &tempfile::TempDir) -> Store {
    let mut options = EmbeddedOptions::default();
    options.segment_bytes = 4 << 20;
    // The store that was dropped may still be letting go of its lock.
    for _ in 0..6000 {
        match Store::open(dir.path(), options.clone()).await {
            Ok(store) => return store,
            Err(restante_store::OpenError::InUse { .. }) => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
    panic!("the store stays in use");
}

impl World {
    pub(crate) async fn new(engine: Engine) -> Self {
        Self::with(engine, |_| {}).await
    }

    /// With other settings.
    pub(crate) async fn with(engine: Engine, set: impl FnOnce(&mut MailOptions)) -> Self {
        let clock = ManualClock::new(1_790_000_000_000);
        let (store, dir) = match engine {
            Engine::Memory => (Store::memory(MemoryOptions::default()), None),
            Engine::Embedded => {
                let dir = tempfile::tempdir().unwrap();
                (open(&dir).await, Some(dir))
            }
        };
        let mut options = options(&clock);
        set(&mut options);
        let mail = Mail::open(store, options).await.unwrap();
        mail.user_add(USER, None).await.unwrap();
        Self {
            mail,
            clock,
            engine,
            dir,
        }
    }

    pub(crate) async fn account(&self) -> Arc<Account> {
        self.mail.account_of(USER).await.unwrap()
    }

    pub(crate) async fn inbox(&self) -> Arc<Mailbox> {
        let account = self.account().await;
        account.mailbox(&MailboxName::inbox()).await.unwrap()
    }

    /// The process ends without a word, and another one begins. (The memory engine's store lives on.)
    pub(crate) async fn crash(self) -> Self {
        let Self {
            mail,
            clock,
            engine,
            dir,
        } = self;
        let store = match &dir {
            None => mail.store().clone(),
            Some(dir) => {
                drop(mail);
                open(dir).await
            }
        };
        let mail = Mail::open(store, options(&clock)).await.unwrap();
        Self {
            mail,
            clock,
            engine,
            dir,
        }
    }

    /// Where the embedded engine's store lies.
    pub(crate) fn dir(&self) -> Option<&std::path::Path> {
        self.dir.as_ref().map(tempfile::TempDir::path)
    }

    /// Everything is as it must be.
    pub(crate) async fn check(&self) {
        let report = self.mail.check(CheckScope::All, true).await.unwrap();
        assert!(report.problems.is_empty(), "{:#?}", report.problems);
    }
}

pub(crate) fn name(name: &str) -> MailboxName {
    MailboxName::new(name).unwrap()
}

/// A message.
pub(crate) fn text(number: u64) -> String {
    format!(
        "From: Ann <ann@example.org>\r\nMessage-ID: <{number}@example.org>\r\nSubject: {number}\r\n\r\n\
         Text of {number}\r\n"
    )
}

pub(crate) async fn append(mailbox: &Arc<Mailbox>, text: &str) -> Result<Appended> {
    let email = mailbox.account().new_email_from(text.as_bytes()).await?;
    let message = Append {
        email,
        flags: FlagNames::default(),
        internal_date: DateTime::utc(1_700_000_000),
    };
    mailbox.append(vec![message]).await
}
