//! What each capability allows, so that one which is switched off is refused as well as hidden.

use restante_proto::types::{
    AppendData, AppendHead, CommandBody, EventGroup, FetchAttribute, List, LiteralHead,
    MailboxFilter, MessageSet, Notify, NotifyEvent, NotifyEvents, SearchKey, SearchReturn, SortKey,
    StatusItem, ThreadAlgorithm, UrlFetch,
};

use crate::capability::mechanism_word;
use crate::cx::Cx;
use crate::reply::{Failure, client_bug};
use crate::url;

/// Refuses a command that needs what is switched off, as if there were no such command or option. Costs
/// nothing where nothing is.
pub(crate) fn command(cx: &Cx, body: &CommandBody) -> Result<(), Failure> {
    if !cx.hides_any() {
        return Ok(());
    }
    let mut words = Vec::new();
    needs(body, &mut words);
    refuse(words.into_iter().find(|word| cx.hides(word)))
}

/// The same for a search key that came from elsewhere.
pub(crate) fn key(cx: &Cx, key: &SearchKey) -> Result<(), Failure> {
    if !cx.hides_any() {
        return Ok(());
    }
    let mut words = Vec::new();
    key_needs(key, &mut words);
    refuse(words.into_iter().find(|word| cx.hides(word)))
}

/// The same for APPEND and REPLACE.
pub(crate) fn append(cx: &Cx, head: &AppendHead) -> Result<(), Failure> {
    if !cx.hides_any() {
        return Ok(());
    }
    let needed = [
        ("REPLACE", head.replace.is_some()),
        ("CATENATE", matches!(head.data, AppendData::Catenate)),
        ("MULTIAPPEND", head.index > 0),
    ];
    let mut needed = needed.into_iter().filter(|(_, needed)| *needed);
    refuse(needed.find_map(|(word, _)| cx.hides(word).then_some(word)))?;
    match &head.data {
        AppendData::Literal(literal) => self::literal(cx, literal),
        AppendData::Catenate => Ok(()),
    }
}

/// The same for the literal of a message: a literal8 is BINARY's (RFC 3516 §4.4), but for the one of
/// `UTF8 (…)`.
pub(crate) fn literal(cx: &Cx, literal: &LiteralHead) -> Result<(), Failure> {
    let binary = literal.literal8 && !literal.utf8;
    refuse((binary && cx.hides("BINARY")).then_some("BINARY"))
}

/// The same for a URL of CATENATE.
pub(crate) fn url(cx: &Cx, url: &[u8]) -> Result<(), Failure> {
    let partial = url::is_partial(url) && cx.hides("URL-PARTIAL");
    refuse(partial.then_some("URL-PARTIAL"))
}

fn refuse(word: Option<&str>) -> Result<(), Failure> {
    match word {
        Some(word) => Err(client_bug(format!("{word} is not supported"))),
        None => Ok(()),
    }
}

type Words = Vec<&'static str>;

fn needs(body: &CommandBody, words: &mut Words) {
    use CommandBody as C;
    match body {
        C::Id(_) => words.push("ID"),
        C::StartTls => words.push("STARTTLS"),
        C::Authenticate(args) => {
            if args.initial_response.is_some() {
                words.push("SASL-IR");
            }
            words.extend(mechanism_word(args.mechanism.as_str()));
        }
        C::Enable(_) => words.push("ENABLE"),
        C::Select(select) => {
            if select.condstore {
                words.push("CONDSTORE");
            }
            if select.qresync.is_some() {
                words.push("QRESYNC");
            }
        }
        C::Create { special_use, .. } if !special_use.is_empty() => {
            words.push("CREATE-SPECIAL-USE");
        }
        C::List(list) => list_needs(list, words),
        C::Rlist { .. } | C::Rlsub { .. } => words.push("MAILBOX-REFERRALS"),
        C::Namespace => words.push("NAMESPACE"),
        C::Status { items, .. } => items.iter().for_each(|item| status_needs(item, words)),
        C::Idle => words.push("IDLE"),
        C::Unselect => words.push("UNSELECT"),
        C::Expunge(Some(set)) => {
            words.push("UIDPLUS");
            if set.saved {
                words.push("SEARCHRES");
            }
        }
        C::Search(search) => {
            returns_need(search.returns.as_ref(), "CONTEXT=SEARCH", words);
            key_needs(&search.key, words);
        }
        C::Fetch(fetch) => {
            set_needs(&fetch.set, words);
            fetch
                .attributes
                .iter()
                .for_each(|item| fetch_needs(item, words));
            if fetch.modifiers.changed_since.is_some() {
                words.push("CONDSTORE");
            }
            if fetch.modifiers.vanished {
                words.push("QRESYNC");
            }
            if fetch.modifiers.partial.is_some() {
                words.push("PARTIAL");
            }
        }
        C::Store(store) => {
            set_needs(&store.set, words);
            if store.unchanged_since.is_some() {
                words.push("CONDSTORE");
            }
        }
        C::Copy { set, .. } => set_needs(set, words),
        C::Move { set, .. } => {
            words.push("MOVE");
            set_needs(set, words);
        }
        C::CompressDeflate => words.push("COMPRESS=DEFLATE"),
        C::Sort(sort) => {
            words.push("SORT");
            let display = |key: &SortKey| matches!(key, SortKey::DisplayFrom | SortKey::DisplayTo);
            if sort.criteria.iter().any(|by| display(&by.key)) {
                words.push("SORT=DISPLAY");
            }
            let relevance = |key: &SortKey| matches!(key, SortKey::Relevancy);
            if sort.criteria.iter().any(|by| relevance(&by.key)) {
                words.push("SEARCH=FUZZY");
            }
            if sort.returns.is_some() {
                words.push("ESORT");
            }
            returns_need(sort.returns.as_ref(), "CONTEXT=SORT", words);
            key_needs(&sort.key, words);
        }
        C::Thread(thread) => {
            words.push(match &thread.algorithm {
                ThreadAlgorithm::OrderedSubject => "THREAD=ORDEREDSUBJECT",
                ThreadAlgorithm::References => "THREAD=REFERENCES",
                ThreadAlgorithm::Refs | ThreadAlgorithm::Other(_) => "THREAD=REFS",
            });
            key_needs(&thread.key, words);
        }
        C::Esearch(esearch) => {
            words.push("MULTISEARCH");
            returns_need(esearch.returns.as_ref(), "CONTEXT=SEARCH", words);
            key_needs(&esearch.key, words);
        }
        C::Notify(notify) => {
            words.push("NOTIFY");
            if let Notify::Set { groups, .. } = notify {
                groups.iter().for_each(|group| group_needs(group, words));
            }
        }
        C::GetQuota(_) | C::GetQuotaRoot(_) => words.push("QUOTA"),
        C::SetQuota(_) => words.extend(["QUOTA", "QUOTASET"]),
        C::SetAcl(_)
        | C::DeleteAcl { .. }
        | C::GetAcl(_)
        | C::ListRights { .. }
        | C::MyRights(_) => words.push("ACL"),
        C::GetMetadata(args) => words.push(metadata(args.mailbox.as_str())),
        C::SetMetadata { mailbox, .. } => words.push(metadata(mailbox.as_str())),
        C::UidBatches { .. } => words.push("UIDBATCHES"),
        C::ResetKey { .. } => words.push("URLAUTH"),
        C::GenUrlAuth(urls) => {
            words.push("URLAUTH");
            if urls.iter().any(|(url, _)| url::is_partial(url)) {
                words.push("URL-PARTIAL");
            }
        }
        C::UrlFetch(urls) => {
            words.push("URLAUTH");
            if urls.iter().any(UrlFetch::is_extended) {
                words.push("URLAUTH=BINARY");
            }
            if urls.iter().any(|wanted| url::is_partial(&wanted.url)) {
                words.push("URL-PARTIAL");
            }
        }
        C::Language(_) => words.push("LANGUAGE"),
        C::Comparator(_) => words.push("I18NLEVEL=2"),
        C::Unauthenticate => words.push("UNAUTHENTICATE"),
        C::GetJmapAccess => words.extend(["JMAPACCESS", "OBJECTID"]),
        _ => {}
    }
}

/// RFC 5182 §2: `$` is SEARCHRES's, wherever it stands.
fn set_needs(set: &MessageSet, words: &mut Words) {
    let saved = match set {
        MessageSet::Seq(set) => set.saved,
        MessageSet::Uid(set) => set.saved,
    };
    if saved {
        words.push("SEARCHRES");
    }
}

fn metadata(mailbox: &str) -> &'static str {
    match mailbox.is_empty() {
        true => "METADATA-SERVER",
        false => "METADATA",
    }
}

/// A hidden METADATA only takes its events away (`cmd/notify.rs`).
fn group_needs(group: &EventGroup, words: &mut Words) {
    if matches!(group.mailboxes, MailboxFilter::SubtreeOne(_)) {
        // RFC 7377 §4
        words.push("MULTISEARCH");
    }
    let NotifyEvents::Events(events) = &group.events else {
        return;
    };
    for event in events {
        if let NotifyEvent::MessageNew(attributes) = event {
            attributes.iter().for_each(|item| fetch_needs(item, words));
        }
    }
}

fn list_needs(list: &List, words: &mut Words) {
    if list.is_extended() {
        words.push("LIST-EXTENDED");
    }
    if list
        .select
        .as_ref()
        .is_some_and(|select| select.special_use)
    {
        words.push("SPECIAL-USE");
    }
    let Some(returns) = &list.returns else {
        return;
    };
    if returns.special_use {
        words.push("SPECIAL-USE");
    }
    if returns.my_rights {
        words.push("LIST-MYRIGHTS");
    }
    if !returns.metadata.is_empty() {
        words.push("LIST-METADATA");
    }
    if !returns.status.is_empty() {
        words.push("LIST-STATUS");
    }
    returns
        .status
        .iter()
        .for_each(|item| status_needs(item, words));
}

fn status_needs(item: &StatusItem, words: &mut Words) {
    match item {
        StatusItem::Size => words.push("STATUS=SIZE"),
        StatusItem::DeletedStorage => words.push("QUOTA=RES-STORAGE"),
        StatusItem::HighestModSeq => words.push("CONDSTORE"),
        StatusItem::AppendLimit => words.push("APPENDLIMIT"),
        StatusItem::MailboxId => words.push("OBJECTID"),
        _ => {}
    }
}

fn fetch_needs(item: &FetchAttribute, words: &mut Words) {
    match item {
        FetchAttribute::Binary { .. } | FetchAttribute::BinarySize(_) => words.push("BINARY"),
        FetchAttribute::ModSeq => words.push("CONDSTORE"),
        FetchAttribute::EmailId | FetchAttribute::ThreadId => words.push("OBJECTID"),
        FetchAttribute::SaveDate => words.push("SAVEDATE"),
        FetchAttribute::Preview { .. } => words.push("PREVIEW"),
        _ => {}
    }
}

fn returns_need(returns: Option<&SearchReturn>, context: &'static str, words: &mut Words) {
    let Some(returns) = returns else {
        return;
    };
    words.push("ESEARCH");
    if returns.save {
        words.push("SEARCHRES");
    }
    if returns.partial.is_some() {
        words.push("PARTIAL");
    }
    if returns.relevancy {
        words.push("SEARCH=FUZZY");
    }
    if returns.update.is_some() || returns.context {
        words.push(context);
    }
    let attributes = returns.update.as_deref().unwrap_or_default();
    if !attributes.is_empty() {
        // RFC 5465 §7
        words.push("NOTIFY");
        attributes.iter().for_each(|item| fetch_needs(item, words));
    }
}

/// The decoder bounds the depth.
fn key_needs(key: &SearchKey, words: &mut Words) {
    match key {
        SearchKey::Older(_) | SearchKey::Younger(_) => words.push("WITHIN"),
        SearchKey::UidAfter(_) | SearchKey::UidBefore(_) => words.push("MESSAGELIMIT"),
        SearchKey::ModSeq { .. } => words.push("CONDSTORE"),
        SearchKey::EmailId(_) | SearchKey::ThreadId(_) => words.push("OBJECTID"),
        SearchKey::SavedBefore(_)
        | SearchKey::SavedOn(_)
        | SearchKey::SavedSince(_)
        | SearchKey::SaveDateSupported => words.push("SAVEDATE"),
        SearchKey::Sequence(set) if set.saved => words.push("SEARCHRES"),
        SearchKey::Uid(set) if set.saved => words.push("SEARCHRES"),
        SearchKey::Fuzzy(key) => {
            words.push("SEARCH=FUZZY");
            key_needs(key, words);
        }
        SearchKey::Filter(_) => words.push("FILTERS"),
        SearchKey::Not(key) => key_needs(key, words),
        SearchKey::Or(keys) | SearchKey::And(keys) => {
            keys.iter().for_each(|key| key_needs(key, words));
        }
        _ => {}
    }
}
