//! The command table: one row for each command.
//!
//! What is common to commands is a column here and is enforced in one place (`serve.rs`): the states
//! in which a command is allowed, whether it changes the selected mailbox, and whether an expunge may
//! be told at its end. The match is exhaustive: a new command does not compile without its row.

use restante_proto::types::{Code, CommandBody, MessageSet, Search, SearchKey};

use crate::reply::{Failure, Reply, client_bug};
use crate::state::State;

/// The states in which a command is allowed (RFC 9051 §6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Where {
    /// Everywhere.
    Any,
    /// Before the login only.
    NotAuthenticated,
    /// After the login.
    Authenticated,
    /// With a mailbox selected.
    Selected,
}

/// One row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rule {
    /// Where it is allowed.
    pub(crate) allowed: Where,
    /// Whether EXPUNGE or VANISHED may be told while it is in progress: not during FETCH, STORE,
    /// SEARCH and their like with sequence numbers (RFC 9051 §7.5.1; RFC 7162 §3.2.10.2).
    pub(crate) expunge: bool,
    /// Whether it changes the selected mailbox, so that it is refused under EXAMINE.
    pub(crate) writes: bool,
    /// Whether it has to do with mail or names.
    needs_utf8: bool,
}

const fn rule(allowed: Where) -> Rule {
    Rule {
        allowed,
        expunge: true,
        writes: false,
        needs_utf8: true,
    }
}

impl Rule {
    const fn no_expunge(mut self, no_expunge: bool) -> Rule {
        self.expunge = !no_expunge;
        self
    }

    const fn ascii(mut self) -> Rule {
        self.needs_utf8 = false;
        self
    }

    const fn writes(mut self) -> Rule {
        self.writes = true;
        self
    }

    /// Whether the command might need UTF-8 (RFC 9755 §7): all that see mail, or names, do.
    pub(crate) fn may_need_utf8(&self) -> bool {
        self.needs_utf8 && matches!(self.allowed, Where::Authenticated | Where::Selected)
    }

    /// Refuses the command in the wrong state, and under EXAMINE if it would change the mailbox.
    pub(crate) fn check(&self, state: &State) -> Result<(), Failure> {
        match (self.allowed, state) {
            (Where::Any, _) => Ok(()),
            (Where::NotAuthenticated, State::NotAuthenticated(_)) => Ok(()),
            (Where::NotAuthenticated, _) => Err(client_bug("Already logged in")),
            (Where::Authenticated | Where::Selected, State::NotAuthenticated(_)) => {
                Err(client_bug("Log in first"))
            }
            (Where::Selected, State::Authenticated(_)) => Err(client_bug("Select a mailbox first")),
            (Where::Selected, State::Selected(_, selected)) if self.writes && selected.examined => {
                Err(read_only())
            }
            _ => Ok(()),
        }
    }
}

/// The answer to a change under EXAMINE (RFC 9051 §6.3.3).
pub(crate) fn read_only() -> Failure {
    Reply::no("The mailbox is open read-only")
        .code(Code::ReadOnly)
        .into()
}

/// The row of a command.
pub(crate) fn of(body: &CommandBody) -> Rule {
    use CommandBody as C;
    use Where::{Any, Authenticated, NotAuthenticated, Selected};
    match body {
        C::Capability => rule(Any),
        C::Noop => rule(Any),
        C::Logout => rule(Any).no_expunge(true),
        C::Id(_) => rule(Any),
        C::StartTls => rule(NotAuthenticated),
        C::Authenticate(_) => rule(NotAuthenticated),
        C::Login { .. } => rule(NotAuthenticated),
        C::Enable(_) => rule(Authenticated).ascii(),
        C::Select(_) => rule(Authenticated),
        C::Create { .. } => rule(Authenticated),
        C::Delete(_) => rule(Authenticated),
        C::Rename { .. } => rule(Authenticated),
        C::Subscribe(_) => rule(Authenticated),
        C::Unsubscribe(_) => rule(Authenticated),
        C::List(_) => rule(Authenticated),
        C::Lsub { .. } => rule(Authenticated),
        C::Xlist { .. } => rule(Authenticated),
        C::Rlist { .. } | C::Rlsub { .. } => rule(Authenticated),
        C::Namespace => rule(Authenticated),
        C::Status { .. } => rule(Authenticated),
        C::Idle => rule(Authenticated).ascii(),
        // CLOSE is no error under EXAMINE (RFC 9051 §6.4.1); it tells no expunges.
        C::Close => rule(Selected).no_expunge(true),
        C::Unselect => rule(Selected).no_expunge(true),
        C::Expunge(_) => rule(Selected).writes(),
        C::Check => rule(Selected),
        C::Search(search) => rule(Selected).no_expunge(search_uses_numbers(search)),
        C::Fetch(fetch) => rule(Selected).no_expunge(by_number(&fetch.set)),
        C::Store(store) => rule(Selected).no_expunge(by_number(&store.set)).writes(),
        C::Copy { .. } => rule(Selected),
        C::Move { .. } => rule(Selected).writes(),
        C::CompressDeflate => rule(Authenticated).ascii(),
        C::Sort(sort) => rule(Selected).no_expunge(!sort.uid || key_uses_numbers(&sort.key)),
        C::Thread(thread) => {
            rule(Selected).no_expunge(!thread.uid || key_uses_numbers(&thread.key))
        }
        C::Esearch(esearch) => rule(Authenticated).no_expunge(key_uses_numbers(&esearch.key)),
        C::Notify(_) => rule(Authenticated),
        C::CancelUpdate(_) => rule(Selected),
        C::GetQuota(_) => rule(Authenticated),
        C::GetQuotaRoot(_) => rule(Authenticated),
        C::SetQuota(_) => rule(Authenticated),
        C::SetAcl(_) => rule(Authenticated),
        C::DeleteAcl { .. } => rule(Authenticated),
        C::GetAcl(_) => rule(Authenticated),
        C::ListRights { .. } => rule(Authenticated),
        C::MyRights(_) => rule(Authenticated),
        C::GetMetadata(_) => rule(Authenticated),
        C::SetMetadata { .. } => rule(Authenticated),
        C::UidBatches { .. } => rule(Selected),
        C::Unauthenticate => rule(Authenticated).no_expunge(true).ascii(),
        C::Language(_) => rule(Any),
        C::Comparator(_) => rule(Authenticated),
        C::GenUrlAuth(_) => rule(Authenticated),
        C::ResetKey { .. } => rule(Authenticated),
        C::UrlFetch(_) => rule(Authenticated),
        C::GetJmapAccess => rule(Authenticated).ascii(),
    }
}

/// Whether it is a UID command.
pub(crate) fn is_uid(body: &CommandBody) -> bool {
    use CommandBody as C;
    match body {
        C::Fetch(fetch) => fetch.set.is_uid(),
        C::Store(store) => store.set.is_uid(),
        C::Copy { set, .. } | C::Move { set, .. } => set.is_uid(),
        C::Expunge(uids) => uids.is_some(),
        C::Search(search) => search.uid,
        C::Sort(sort) => sort.uid,
        C::Thread(thread) => thread.uid,
        _ => false,
    }
}

/// Whether no mailbox, or another one, is selected after this command.
pub(crate) fn leaves(body: &CommandBody) -> bool {
    use CommandBody as C;
    matches!(
        body,
        C::Select(_) | C::Close | C::Unselect | C::Logout | C::Unauthenticate
    )
}

/// Whether a command has message numbers in it, or would answer with them: what there is none of any more
/// after ENABLE UIDONLY (RFC 9586 §3.2, §3.5, §3.8).
pub(crate) fn uses_numbers(body: &CommandBody) -> bool {
    use CommandBody as C;
    match body {
        C::Fetch(fetch) => by_number(&fetch.set),
        C::Store(store) => by_number(&store.set),
        C::Copy { set, .. } | C::Move { set, .. } => by_number(set),
        C::Search(search) => search_uses_numbers(search),
        C::Sort(sort) => !sort.uid || key_uses_numbers(&sort.key),
        C::Thread(thread) => !thread.uid || key_uses_numbers(&thread.key),
        C::Esearch(esearch) => key_uses_numbers(&esearch.key),
        _ => false,
    }
}

/// The answer to message numbers after ENABLE UIDONLY (RFC 9586 §3).
pub(crate) fn uid_required() -> Failure {
    Reply::bad("Message numbers are not allowed once UIDONLY is enabled")
        .code(Code::UidRequired)
        .into()
}

/// APPEND and REPLACE are streamed and have no [`CommandBody`]; this is the row of APPEND.
pub(crate) const APPEND: Rule = rule(Where::Authenticated);
/// The row of REPLACE (RFC 8508 §3.5). It takes a message away, so that its expunge is told.
pub(crate) const REPLACE: Rule = rule(Where::Selected).writes();

fn by_number(set: &MessageSet) -> bool {
    !set.is_uid()
}

/// `UID SEARCH` that has sequence numbers among its keys counts as one that uses them (RFC 7162
/// §3.2.10.2).
fn search_uses_numbers(search: &Search) -> bool {
    !search.uid || key_uses_numbers(&search.key)
}

/// Whether a sequence number occurs in a search key. The decoder bounds the depth.
pub(crate) fn key_uses_numbers(key: &SearchKey) -> bool {
    match key {
        // `$` alone is a set of UIDs.
        SearchKey::Sequence(set) => !set.ranges.is_empty(),
        SearchKey::Not(key) | SearchKey::Fuzzy(key) => key_uses_numbers(key),
        SearchKey::Or(keys) | SearchKey::And(keys) => keys.iter().any(key_uses_numbers),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use restante_proto::types::{SeqNum, SeqSet, UidSet};

    use super::*;

    fn search(uid: bool, key: SearchKey) -> Rule {
        of(&CommandBody::Search(Search {
            uid,
            returns: None,
            charset: None,
            key,
        }))
    }

    #[test]
    fn expunges_wait_while_numbers_are_in_use() {
        let number = SearchKey::Sequence(SeqSet::single(SeqNum::new(1).expect("not 0")));
        assert!(!search(false, SearchKey::All).expunge);
        assert!(search(true, SearchKey::All).expunge);
        assert!(!search(true, SearchKey::Not(Box::new(number.clone()))).expunge);
        assert!(!search(true, SearchKey::And(vec![SearchKey::All, number])).expunge);
        assert!(search(true, SearchKey::Sequence(SeqSet::saved())).expunge);
        assert!(search(true, SearchKey::Uid(UidSet::all())).expunge);
        assert!(of(&CommandBody::Noop).expunge);
    }

    #[test]
    fn commands_belong_to_states() {
        let guest = State::NotAuthenticated(Default::default());
        assert!(of(&CommandBody::Noop).check(&guest).is_ok());
        assert!(of(&CommandBody::StartTls).check(&guest).is_ok());
        assert!(of(&CommandBody::Namespace).check(&guest).is_err());
        assert!(of(&CommandBody::Close).check(&guest).is_err());
    }
}
