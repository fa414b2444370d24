//! The states of a session (RFC 9051 §3); what belongs to a state lives in it.

use std::sync::Arc;

use restante_mailbox::{
    Account, AccountId, Flags, MailboxId, MailboxName, ModSeq, Rights, Snapshot, Uid, UidSet,
    UserMailbox, Who,
};
use tokio::sync::watch;

use crate::cmd::DecodedMark;
use crate::cmd::updates::Updates;
use crate::env::Seat;
use crate::reply::{Failure, client_bug};
use crate::view::View;

/// Where a session stands.
///
/// ```text
///               greeting
///                  |
///                  v
///          NotAuthenticated --LOGIN, AUTHENTICATE--> Authenticated(Login)
///                                                     |            ^
///                                     SELECT, EXAMINE |            | CLOSE, UNSELECT,
///                                                     v            | failed SELECT
///                                             Selected(Login, Selected) --SELECT--> itself
///
///   every state --LOGOUT, BYE, the connection ends--> Logout
/// ```
#[derive(Debug)]
pub(crate) enum State {
    /// Nobody has logged in.
    NotAuthenticated(Guest),
    /// A user is known.
    Authenticated(Login),
    /// A mailbox is open. Boxed: a session is small until it needs this.
    Selected(Login, Box<Selected>),
    /// The session is over.
    Logout,
}

/// A client before its login.
#[derive(Debug, Default)]
pub(crate) struct Guest {
    /// Logins that failed on this connection.
    pub(crate) failed_logins: u32,
    /// Commands that were not understood.
    pub(crate) bad_commands: u32,
    /// What the client said of itself (ID), shortened.
    pub(crate) client: Option<Box<str>>,
}

/// A user who has logged in: the right to see their account.
#[derive(Debug, Clone)]
pub(crate) struct Login {
    /// The user's name, for logs.
    pub(crate) name: Arc<str>,
    /// The user's account.
    pub(crate) account: Arc<Account>,
    /// Whether it is nobody in particular (RFC 4505).
    pub(crate) is_anonymous: bool,
    /// The user as access rights of others' mailboxes see them.
    pub(crate) who: Who,
    /// Its place among the user's sessions.
    pub(crate) _seat: Seat,
}

/// The open mailbox.
#[derive(Debug)]
pub(crate) struct Selected {
    /// The mailbox.
    pub(crate) mailbox: UserMailbox,
    /// Opened by EXAMINE: nothing may be changed.
    pub(crate) examined: bool,
    /// The PERMANENTFLAGS that the client was told.
    pub(crate) permanent_told: Flags,
    /// Whether it was told READ-ONLY.
    pub(crate) read_only_told: bool,
    /// What the user may do with it; all, if it is their own.
    pub(crate) rights: Rights,
    /// The name that it was selected by.
    pub(crate) name: MailboxName,
    /// Wakes an idling session: the mailbox has changed.
    pub(crate) changes: watch::Receiver<ModSeq>,
    /// Of messages from here on the client has not been sent what it asked to be fetched of new ones
    /// (NOTIFY).
    pub(crate) fetched_to: Uid,
    /// What this client has been told of it, and its search result variable `$`.
    pub(crate) view: View,
    /// Where a client stands that fetches a decoded part piece by piece.
    pub(crate) decoded: Option<Box<DecodedMark>>,
    /// How often its key of URLs had been replaced when this client was told.
    pub(crate) url_key_resets: u32,
    /// Results that are kept up to date (UPDATE).
    pub(crate) updates: Option<Box<Updates>>,
}

impl Selected {
    /// Whether it is this mailbox of this account.
    pub(crate) fn is(&self, account: AccountId, id: MailboxId) -> bool {
        self.mailbox.account().id() == account && self.mailbox.id() == id
    }

    /// Whether nothing of it may be changed.
    pub(crate) fn read_only(&self) -> bool {
        let changing = Rights::INSERT
            | Rights::EXPUNGE
            | Rights::SEEN
            | Rights::WRITE
            | Rights::DELETE_MESSAGES;
        self.examined || !self.rights.intersects(changing)
    }

    /// Whether nothing of it may be changed that others can see, which is what READ-ONLY says (RFC 4314
    /// §5.2). Who has a `\Seen` of their own may change that all the same (RFC 3501 §6.3.1).
    pub(crate) fn shared_read_only(&self) -> bool {
        let seen_only = self.mailbox.has_own_seen()
            && !self.rights.intersects(
                Rights::INSERT | Rights::EXPUNGE | Rights::WRITE | Rights::DELETE_MESSAGES,
            );
        self.read_only() || seen_only
    }

    /// The flags that may be changed for good (RFC 4314 §5.1.1).
    pub(crate) fn permanent_flags(&self) -> Flags {
        match self.read_only() {
            true => Flags::NONE,
            false => self.rights.flags(),
        }
    }

    /// A mailbox that is looked into, but not selected: the client has been told nothing of it.
    pub(crate) fn peek(
        name: MailboxName,
        mailbox: UserMailbox,
        snapshot: Arc<Snapshot>,
    ) -> Selected {
        Selected {
            examined: true,
            permanent_told: Flags::NONE,
            read_only_told: true,
            rights: Rights::READ,
            name,
            changes: mailbox.watch(),
            fetched_to: snapshot.uid_next(),
            view: View::new(Arc::clone(&mailbox), snapshot, UidSet::new()),
            url_key_resets: 0,
            mailbox,
            decoded: None,
            updates: None,
        }
    }
}

/// The right to change the selected mailbox: there is none under EXAMINE.
#[derive(Debug)]
pub(crate) struct Writable<'a>(pub(crate) &'a mut Selected);

impl State {
    /// The login.
    pub(crate) fn login(&self) -> Result<&Login, Failure> {
        match self {
            State::Authenticated(login) | State::Selected(login, _) => Ok(login),
            State::NotAuthenticated(_) | State::Logout => Err(client_bug("Log in first")),
        }
    }

    /// The open mailbox's account and number.
    pub(crate) fn selected_id(&self) -> Option<(AccountId, MailboxId)> {
        match self {
            State::Selected(_, selected) => {
                let mailbox = &selected.mailbox;
                Some((mailbox.account().id(), mailbox.id()))
            }
            _ => None,
        }
    }

    /// The open mailbox's number, if it is one of the user's own.
    pub(crate) fn own_selected(&self) -> Option<MailboxId> {
        match self {
            State::Selected(login, selected)
                if Arc::ptr_eq(&login.account, selected.mailbox.account()) =>
            {
                Some(selected.mailbox.id())
            }
            _ => None,
        }
    }

    /// The login and the open mailbox.
    pub(crate) fn selected(&mut self) -> Result<(&Login, &mut Selected), Failure> {
        match self {
            State::Selected(login, selected) => Ok((login, selected)),
            _ => Err(client_bug("Select a mailbox first")),
        }
    }

    /// The login and the open mailbox, which may be changed by who has one of these rights.
    pub(crate) fn writable(&mut self, any_of: Rights) -> Result<(&Login, Writable<'_>), Failure> {
        let (login, selected) = self.selected()?;
        if selected.read_only() {
            return Err(crate::table::read_only());
        }
        if !selected.rights.intersects(any_of) {
            return Err(crate::place::no_permission());
        }
        Ok((login, Writable(selected)))
    }

    /// Leaves the selected state, if it is the state.
    pub(crate) fn deselect(&mut self) -> Option<Box<Selected>> {
        match std::mem::replace(self, State::Logout) {
            State::Selected(login, selected) => {
                *self = State::Authenticated(login);
                Some(selected)
            }
            other => {
                *self = other;
                None
            }
        }
    }
}
