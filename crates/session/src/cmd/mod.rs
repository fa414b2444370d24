//! One file for each command, and the step from a decoded command to its file.

mod acl;
mod append;
mod authenticate;
mod capability;
mod close;
pub(crate) mod comparator;
mod compress;
mod copy;
mod create;
mod delete;
mod enable;
mod expunge;
mod fetch;
mod filters;
mod fuzzy;
mod id;
mod jmap_access;
mod language;
pub(crate) mod list;
mod list_match;
mod login;
mod metadata;
mod multisearch;
mod namespace;
mod noop;
mod notify;
pub(crate) mod quota;
mod rename;
mod search;
mod search_program;
mod search_run;
mod search_text;
mod select;
mod sort;
mod starttls;
mod status;
mod store;
mod subscribe;
mod thread;
mod uid_batches;
mod unauthenticate;
pub(crate) mod updates;
pub(crate) mod url_auth;
mod url_items;

pub(crate) use self::fetch::Mark as DecodedMark;

use restante_mailbox::Uid;
use restante_proto::types::{
    AppendHead, Command, CommandBody as C, Fetch, FetchAttribute, FetchModifiers, MessageSet,
};

use crate::convert;
use crate::cx::Cx;
use crate::reply::{Failure, Outcome, client_bug};
use crate::state::State;

/// Runs a command that the table allows in this state. IDLE is not here: it is a mode of the
/// session's loop, so that an idle session holds no command's memory.
pub(crate) async fn run(cx: &mut Cx, state: &mut State, command: Command) -> Outcome {
    match command.body {
        C::Capability => capability::run(cx, state),
        C::Noop => noop::noop(),
        C::Logout => noop::logout(),
        C::Id(parameters) => id::run(cx, state, parameters),
        C::StartTls => starttls::run(cx, state),
        C::Authenticate(args) => Box::pin(authenticate::run(cx, state, args)).await,
        C::Login { user, password } => Box::pin(login::run(cx, state, user, password)).await,
        C::Enable(words) => enable::run(cx, state, words).await,
        C::Select(args) => Box::pin(select::run(cx, state, args)).await,
        C::Create {
            mailbox,
            special_use,
        } => Box::pin(create::run(cx, state, mailbox, special_use)).await,
        C::Delete(mailbox) => Box::pin(delete::run(cx, state, mailbox)).await,
        C::Rename { from, to } => Box::pin(rename::run(cx, state, from, to)).await,
        C::Subscribe(mailbox) => Box::pin(subscribe::subscribe(state, mailbox)).await,
        C::Unsubscribe(mailbox) => Box::pin(subscribe::unsubscribe(state, mailbox)).await,
        C::List(args) => Box::pin(list::list(cx, state, args, list::Answer::List)).await,
        C::Lsub { reference, pattern } => {
            Box::pin(list::lsub(cx, state, reference, pattern, false)).await
        }
        C::Rlist { reference, pattern } => {
            Box::pin(list::rlist(cx, state, reference, pattern)).await
        }
        C::Rlsub { reference, pattern } => {
            Box::pin(list::rlsub(cx, state, reference, pattern)).await
        }
        C::Xlist { reference, pattern } => {
            Box::pin(list::xlist(cx, state, reference, pattern)).await
        }
        C::GetJmapAccess => jmap_access::run(cx, state),
        C::Namespace => namespace::run(cx, state.login()?),
        C::Status { mailbox, items } => Box::pin(status::run(cx, state, mailbox, items)).await,
        C::Close => Box::pin(close::close(state)).await,
        C::Unselect => close::unselect(state),
        C::Expunge(uids) => Box::pin(expunge::run(cx, state, uids)).await,
        C::Check => noop::check(),
        C::Search(args) => Box::pin(search::run(cx, state, command.tag, args)).await,
        C::Esearch(args) => Box::pin(multisearch::run(cx, state, command.tag, args)).await,
        C::Sort(args) => Box::pin(sort::run(cx, state, command.tag, args)).await,
        C::GenUrlAuth(urls) => Box::pin(url_auth::generate(cx, state, urls)).await,
        C::ResetKey {
            mailbox,
            mechanisms,
        } => Box::pin(url_auth::reset(cx, state, mailbox, &mechanisms)).await,
        C::UrlFetch(urls) => Box::pin(url_auth::fetch(cx, state, &urls)).await,
        C::Language(ranges) => language::run(cx, state, &ranges),
        C::Comparator(wanted) => comparator::run(cx, &wanted),
        C::CancelUpdate(tags) => updates::cancel(cx, state, &tags),
        C::Thread(args) => Box::pin(thread::run(cx, state, args)).await,
        C::Fetch(args) => Box::pin(fetch::run(cx, state, args)).await,
        C::Store(args) => Box::pin(store::run(cx, state, args)).await,
        C::Copy { set, mailbox } => Box::pin(copy::copy(cx, state, set, mailbox)).await,
        C::Move { set, mailbox } => Box::pin(copy::move_to(cx, state, set, mailbox)).await,
        C::Notify(args) => Box::pin(notify::run(cx, state, args)).await,
        C::GetQuota(root) => Box::pin(quota::get(cx, state, root)).await,
        C::GetQuotaRoot(mailbox) => Box::pin(quota::get_root(cx, state, mailbox)).await,
        C::SetQuota(args) => quota::set(cx, state, args).await,
        C::SetAcl(args) => Box::pin(acl::set(cx, state, args)).await,
        C::DeleteAcl {
            mailbox,
            identifier,
        } => Box::pin(acl::delete(cx, state, mailbox, identifier)).await,
        C::GetAcl(mailbox) => Box::pin(acl::get(cx, state, mailbox)).await,
        C::ListRights {
            mailbox,
            identifier,
        } => Box::pin(acl::list(cx, state, mailbox, identifier)).await,
        C::MyRights(mailbox) => Box::pin(acl::mine(cx, state, mailbox)).await,
        C::GetMetadata(args) => Box::pin(metadata::get(cx, state, args)).await,
        C::SetMetadata { mailbox, entries } => {
            Box::pin(metadata::set(cx, state, mailbox, entries)).await
        }
        C::UidBatches { size, batches } => {
            Box::pin(uid_batches::run(cx, state, command.tag, size, batches)).await
        }
        C::Unauthenticate => unauthenticate::run(),
        C::CompressDeflate => compress::run(cx),
        other => Err(unsupported(other.name())),
    }
}

/// Runs an APPEND or REPLACE that the table allows in this state. What it does not take of the message
/// is skipped by the caller.
pub(crate) async fn append(cx: &mut Cx, state: &mut State, head: AppendHead) -> Outcome {
    Box::pin(append::run(cx, state, head)).await
}

/// FETCH responses that no command asked for; what cannot be read of them is left out.
pub(crate) async fn fetch_told(
    cx: &mut Cx,
    state: &mut State,
    uids: &[Uid],
    attributes: &[FetchAttribute],
) -> Result<(), Failure> {
    if uids.is_empty() {
        return Ok(());
    }
    let args = Fetch {
        set: MessageSet::Uid(convert::wire_uids(uids.iter().copied())),
        attributes: attributes.to_vec(),
        modifiers: FetchModifiers::default(),
    };
    match Box::pin(fetch::run_within(cx, state, args, None)).await {
        Ok(_) | Err(Failure::Reply(_)) => Ok(()),
        Err(failure) => Err(failure),
    }
}

/// The answer to a command that the grammar has and this server has not.
fn unsupported(name: &str) -> Failure {
    client_bug(format!("{name} is not supported"))
}
