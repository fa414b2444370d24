//! FILTERS: named searches, kept as annotations of the server (RFC 5466).

use restante_proto::decode::{DecodeOptions, search_criteria};
use restante_proto::types::{Code, SearchKey};

use crate::cx::Cx;
use crate::reply::{Failure, Reply};
use crate::state::Login;
use crate::switch;
use crate::table::key_uses_numbers;

/// How deep filters may name filters. RFC 5466 §3.1 wants three; a loop ends here, too.
const DEPTH_MAX: usize = 5;
/// Filters that one search may be made of.
const FILTERS_MAX: usize = 100;
/// Where filters are kept, by precedence.
const ROOTS: [&str; 2] = ["/private/filters/values/", "/shared/filters/values/"];

/// Puts the criteria of filters where they are named.
pub(super) async fn expand(
    cx: &mut Cx,
    login: &Login,
    charset: Option<&str>,
    key: SearchKey,
) -> Result<SearchKey, Failure> {
    if !names_filters(&key) {
        return Ok(key);
    }
    let known = |charset: &str| {
        charset.eq_ignore_ascii_case("UTF-8") || charset.eq_ignore_ascii_case("US-ASCII")
    };
    if charset.is_some_and(|charset| !known(charset)) {
        // RFC 5466 §3.1
        let reply = Reply::bad("FILTER is in UTF-8").code(Code::BadCharset(Vec::new()));
        return Err(reply.into());
    }
    let tree = login.account.tree().await?;
    let value = |name: &str| {
        ROOTS.iter().find_map(|root| {
            let entry = format!("{root}{name}").to_lowercase();
            let own = tree.metadata.get(&(None, entry.as_str().into()));
            let operators = cx.env.server_annotations.iter();
            let mut operators = operators.filter(|(name, _)| name.eq_ignore_ascii_case(&entry));
            own.map(|value| value.to_vec())
                .or_else(|| operators.next().map(|(_, value)| value.clone().into()))
        })
    };
    let mut left = FILTERS_MAX;
    let key = put_in(key, &value, DEPTH_MAX, &mut left)?;
    switch::key(cx, &key)?;
    Ok(key)
}

fn put_in(
    key: SearchKey,
    value: &impl Fn(&str) -> Option<Vec<u8>>,
    depth: usize,
    left: &mut usize,
) -> Result<SearchKey, Failure> {
    let mut all = |keys: Vec<SearchKey>| {
        let keys = keys.into_iter();
        keys.map(|key| put_in(key, value, depth, left))
            .collect::<Result<Vec<_>, Failure>>()
    };
    Ok(match key {
        SearchKey::And(keys) => SearchKey::And(all(keys)?),
        SearchKey::Or(keys) => SearchKey::Or(all(keys)?),
        SearchKey::Not(key) => SearchKey::Not(Box::new(put_in(*key, value, depth, left)?)),
        SearchKey::Fuzzy(key) => SearchKey::Fuzzy(Box::new(put_in(*key, value, depth, left)?)),
        SearchKey::Filter(name) => {
            if *left == 0 {
                return Err(Reply::no("Too many filters").code(Code::Limit).into());
            }
            *left -= 1;
            let found = std::str::from_utf8(&name).ok().filter(|_| depth > 0);
            let criteria = found.and_then(value).and_then(|value| parse(&value));
            match criteria {
                Some(criteria) => put_in(criteria, value, depth - 1, left)?,
                None => return Err(undefined(name)),
            }
        }
        key => key,
    })
}

/// A filter's value, if it is a whole search. Numbers of messages mean something else tomorrow.
fn parse(value: &[u8]) -> Option<SearchKey> {
    let key = search_criteria(value, &DecodeOptions::default()).ok()?;
    (!key_uses_numbers(&key)).then_some(key)
}

/// Whether an annotation can be what it is named: a filter must be a whole search (RFC 5466 §3.2), and nobody in
/// particular changes filters (§5).
pub(super) fn check(entry: &str, value: Option<&[u8]>, is_anonymous: bool) -> Result<(), Failure> {
    if !ROOTS.iter().any(|root| entry.starts_with(root)) {
        return Ok(());
    }
    if is_anonymous {
        let reply = Reply::no("Filters are not for guests to change");
        return Err(reply.code(Code::NoPerm).into());
    }
    match value {
        Some(value) if parse(value).is_none() => {
            let text = "A filter must be a whole search, without message numbers";
            Err(Reply::no(text).code(Code::Cannot).into())
        }
        _ => Ok(()),
    }
}

fn undefined(name: Vec<u8>) -> Failure {
    Reply::no("There is no such filter, or it is no search")
        .code(Code::UndefinedFilter(name))
        .into()
}

fn names_filters(key: &SearchKey) -> bool {
    match key {
        SearchKey::Filter(_) => true,
        SearchKey::Not(key) | SearchKey::Fuzzy(key) => names_filters(key),
        SearchKey::Or(keys) | SearchKey::And(keys) => keys.iter().any(names_filters),
        _ => false,
    }
}
