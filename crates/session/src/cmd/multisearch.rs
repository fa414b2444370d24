//! ESEARCH: a search in several mailboxes (RFC 7377), one after the other.
//!
//! A mailbox that is not selected gets a view for the time of its search, which no client has been shown:
//! nothing is told of it but what was found.

use std::collections::BTreeMap;
use std::sync::Arc;

use restante_mailbox::{Account, AccountId, MailError, MailboxId, MailboxName, Rights, TailState};
use restante_proto::types::{
    EsearchCommand, EsearchCorrelator, MailboxFilter, SearchKey, SearchReturn, Tag, UidValidity,
};

use super::notify::canonical;
use super::search::{Answer, SearchResult, empty_saved, name_result, says_anything, search_view};
use super::updates::{self, Request};
use crate::convert;
use crate::cx::Cx;
use crate::env::Env;
use crate::notify::Filter;
use crate::place;
use crate::referral;
use crate::reply::{Failure, Outcome, Reply, client_bug};
use crate::state::{Login, Selected, State};
use crate::table::key_uses_numbers;

pub(crate) async fn run(cx: &mut Cx, state: &mut State, tag: Tag, args: EsearchCommand) -> Outcome {
    let save = args.returns.as_ref().is_some_and(|returns| returns.save);
    let outcome = search(cx, state, tag, args).await;
    if matches!(state, State::Selected(..)) {
        empty_saved(state, save, &outcome)?;
    }
    outcome
}

async fn search(cx: &mut Cx, state: &mut State, tag: Tag, args: EsearchCommand) -> Outcome {
    let scope = args
        .scope
        .map_or_else(|| vec![MailboxFilter::Selected], |scope| scope.mailboxes);
    let is_selected = |filter: &MailboxFilter| *filter == MailboxFilter::Selected;
    let only_selected = scope.iter().all(is_selected);
    // RFC 7377 §2.2
    if scope.iter().any(is_selected) && !matches!(state, State::Selected(..)) {
        return Err(client_bug("Select a mailbox first"));
    }
    let mut returns = match args.returns {
        Some(returns) => returns,
        None => SearchReturn {
            all: true,
            ..SearchReturn::default()
        },
    };
    name_result(&mut returns);
    let mut update = returns.update.take();
    if update.is_some() {
        // RFC 7377 §2.2: it is for the selected mailbox.
        let (_, selected) = state.selected()?;
        updates::check_tag(selected, &tag)?;
    }
    if returns.save && !only_selected {
        return Err(client_bug("SAVE is for the selected mailbox alone"));
    }
    if !only_selected && key_uses_numbers(&args.key) {
        return Err(client_bug(
            "Message numbers mean nothing in other mailboxes",
        ));
    }
    if !only_selected && uses_saved(&args.key) {
        return Err(client_bug("$ means nothing in other mailboxes"));
    }
    let login = state.login()?.clone();
    let wanted = mailboxes(&cx.env, state, &login, scope).await?;
    for ((owner, id), Wanted { name, account }) in wanted {
        let charset = args.charset.as_deref();
        let (login, selected) = match &mut *state {
            State::Selected(login, selected) if selected.is(owner, id) => {
                (&*login, &mut **selected)
            }
            _ => {
                let Some(mut peeked) = peek(&cx.env, &login, (&account, id), &name).await? else {
                    continue;
                };
                let key = args.key.clone();
                let result = search_view(cx, &login, &mut peeked, charset, key, &returns, false);
                let result = result.await?;
                tell(cx, &peeked, &name, &tag, &returns, &result).await?;
                cx.conn.flush_if_large().await?;
                continue;
            }
        };
        let all = update.is_some();
        let key = args.key.clone();
        let result = search_view(cx, login, selected, charset, key, &returns, all).await?;
        tell(cx, selected, &name, &tag, &returns, &result).await?;
        if returns.save {
            selected
                .view
                .save(super::search::picked(&returns, &result.found));
        }
        if let Some(fetch) = update.take() {
            let request = Request {
                correlator: correlator(selected, &name, &tag),
                uid: true,
                charset: args.charset.clone(),
                key: args.key.clone(),
                sorted: None,
                fetch,
                now_s: result.now_s,
            };
            updates::keep(cx, login, selected, request, result.found).await?;
        }
    }
    if update.is_some() {
        updates::refuse(cx, &tag, "The selected mailbox was not searched");
    }
    Ok(Reply::ok("ESEARCH completed"))
}

/// Whether `$` occurs in a search key. The decoder bounds the depth.
fn uses_saved(key: &SearchKey) -> bool {
    match key {
        SearchKey::Sequence(set) => set.saved,
        SearchKey::Uid(set) => set.saved,
        SearchKey::Not(key) | SearchKey::Fuzzy(key) => uses_saved(key),
        SearchKey::Or(keys) | SearchKey::And(keys) => keys.iter().any(uses_saved),
        _ => false,
    }
}

/// A mailbox to search.
struct Wanted {
    name: MailboxName,
    account: Arc<Account>,
}

/// The mailboxes that are meant, each once.
async fn mailboxes(
    env: &Env,
    state: &State,
    login: &Login,
    scope: Vec<MailboxFilter>,
) -> Result<BTreeMap<(AccountId, MailboxId), Wanted>, Failure> {
    let tree = login.account.tree().await?;
    let mut wanted = BTreeMap::new();
    let mut want = |account: &Arc<Account>, id: MailboxId, name: MailboxName| {
        let account = account.clone();
        wanted.insert((account.id(), id), Wanted { name, account });
    };
    // A mailbox that is on another server is no business of this one (RFC 2193 §3).
    let is_here = |name: &MailboxName| {
        let mut elsewhere = referral::mailboxes(&env.mailbox_referrals, &login.name);
        !elsewhere.any(|there| name == there || name.is_below(there))
    };
    let mut others = None;
    for filter in scope {
        let mut names = 0;
        let filter = match filter {
            MailboxFilter::Selected => {
                if let State::Selected(_, selected) = state {
                    let id = selected.mailbox.id();
                    // Deleted meanwhile: what is shown can be searched still, under the name it had.
                    let own = state.own_selected().and_then(|id| tree.by_id(id));
                    let name = own.map_or(&selected.name, |(name, _)| name);
                    want(selected.mailbox.account(), id, name.clone());
                }
                continue;
            }
            MailboxFilter::SelectedDelayed => {
                return Err(client_bug("selected-delayed is for NOTIFY"));
            }
            // Deliveries may go to any of them.
            MailboxFilter::Inboxes | MailboxFilter::Personal => Filter::Personal,
            MailboxFilter::Subscribed => Filter::Subscribed,
            MailboxFilter::Subtree(list) => Filter::Subtree(canonical(&list, &mut names)?),
            MailboxFilter::SubtreeOne(list) => Filter::SubtreeOne(canonical(&list, &mut names)?),
            MailboxFilter::Mailboxes(list) => Filter::Mailboxes(canonical(&list, &mut names)?),
        };
        for (name, entry) in &tree.mailboxes {
            if is_here(name) && filter.matches(name, &tree.subscribed) {
                want(&login.account, entry.id, name.clone());
            }
        }
        if matches!(filter, Filter::Personal) {
            continue;
        }
        if others.is_none() {
            others = Some(place::foreign(env, login, |_| true).await?);
        }
        for other in others.iter().flatten() {
            for (name, entry, rights) in other.all(&login.who) {
                // RFC 7377 §2.2: what may not be read is passed over, and what may not be looked up unless it is
                // named itself.
                let needed = match filter.names(&name) {
                    true => Rights::READ,
                    false => Rights::READ | Rights::LOOKUP,
                };
                let readable = is_here(&name) && rights.contains(needed);
                if readable && filter.matches(&name, &tree.subscribed) {
                    want(&other.account, entry.id, name);
                }
            }
        }
    }
    Ok(wanted)
}

/// A view of a mailbox as it is now. `None`: it is gone.
async fn peek(
    env: &Env,
    login: &Login,
    (account, id): (&Arc<Account>, MailboxId),
    name: &MailboxName,
) -> Result<Option<Selected>, Failure> {
    let mailbox = match account.open(id).await {
        Err(MailError::NoSuchMailbox) => return Ok(None),
        mailbox => env.sharing.open_for(login, mailbox?),
    };
    let snapshot = mailbox.snapshot().await?;
    let gone = snapshot.tail().state == TailState::Deleted;
    Ok((!gone).then(|| Selected::peek(name.clone(), mailbox, snapshot)))
}

/// One response, if anything was found (RFC 7377 §2.1).
async fn tell(
    cx: &mut Cx,
    selected: &Selected,
    name: &MailboxName,
    tag: &Tag,
    returns: &SearchReturn,
    result: &SearchResult,
) -> Result<(), Failure> {
    if result.found.is_empty() || !says_anything(returns) {
        return Ok(());
    }
    let answer = Answer {
        correlator: correlator(selected, name, tag),
        uid: true,
        returns,
        result,
    };
    answer.tell(cx, selected).await
}

fn correlator(selected: &Selected, name: &MailboxName, tag: &Tag) -> EsearchCorrelator {
    let uid_validity = selected.view.snapshot().uid_validity().get();
    EsearchCorrelator {
        tag: Some(tag.clone()),
        mailbox: Some(convert::wire_name(name)),
        uid_validity: UidValidity::new(uid_validity),
    }
}
