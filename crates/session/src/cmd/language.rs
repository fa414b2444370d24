//! LANGUAGE (RFC 5255 §3.2).

use restante_proto::types::UntaggedData;

use super::namespace;
use crate::cx::Cx;
use crate::language::Language;
use crate::reply::{Outcome, Reply, client_bug};
use crate::state::State;

/// More ranges than anybody speaks languages.
const RANGES_MAX: usize = 100;

pub(super) fn run(cx: &mut Cx, state: &State, ranges: &[Vec<u8>]) -> Outcome {
    if ranges.is_empty() {
        let tags = Language::ALL.iter();
        let tags = tags.map(|language| language.tag().into()).collect();
        cx.data(&UntaggedData::Language(tags));
        return Ok(Reply::ok("These are the languages"));
    }
    if ranges.len() > RANGES_MAX {
        return Err(client_bug("Too many languages"));
    }
    let mut chosen = None;
    for range in ranges {
        let Some(range) = language_range(range) else {
            return Err(client_bug("That is no language tag"));
        };
        let language = match range.eq_ignore_ascii_case("default") {
            true => Some(Language::Default),
            false => Language::of_range(range),
        };
        chosen = chosen.or(language);
    }
    let Some(language) = chosen else {
        return Ok(Reply::no("There is no such language here"));
    };
    cx.language = language;
    cx.data(&UntaggedData::Language(vec![language.tag().into()]));
    if state.login().is_ok() {
        namespace::tell_translated(cx);
    }
    Ok(Reply::ok("The language is changed"))
}

/// `(1*8ALPHA *("-" 1*8alphanum)) / "*"` (RFC 4647 §2.1)
fn language_range(range: &[u8]) -> Option<&str> {
    let range = std::str::from_utf8(range).ok()?;
    if range == "*" {
        return Some(range);
    }
    let mut parts = range.split('-');
    let is_part = |part: &str| (1..=8).contains(&part.len());
    let first = parts.next()?;
    let letters = is_part(first) && first.bytes().all(|byte| byte.is_ascii_alphabetic());
    let others = parts.all(|part| is_part(part) && part.bytes().all(|b| b.is_ascii_alphanumeric()));
    (letters && others).then_some(range)
}
