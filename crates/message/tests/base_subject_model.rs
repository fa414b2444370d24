//! Base subjects against the steps of RFC 5256 §2.1, done one after the other as they are written.

use proptest::prelude::*;
use restante_message::base_subject;

fn starts_with(text: &str, word: &str) -> bool {
    let head = text.get(..word.len());
    head.is_some_and(|head| head.eq_ignore_ascii_case(word))
}

/// `subj-blob = "[" *BLOBCHAR "]" *WSP`: what is left after one.
fn after_blob(text: &str) -> Option<&str> {
    let inside = text.strip_prefix('[')?;
    let end = inside.find(['[', ']'])?;
    let mut rest = inside[end..].strip_prefix(']')?;
    while let Some(less) = rest.strip_prefix(' ') {
        rest = less;
    }
    Some(rest)
}

/// `subj-refwd = ("re" / ("fw" ["d"])) *WSP [subj-blob] ":"`
fn after_refwd(text: &str) -> Option<&str> {
    for word in ["re", "fw", "fwd"] {
        if !starts_with(text, word) {
            continue;
        }
        let mut rest = &text[word.len()..];
        while let Some(less) = rest.strip_prefix(' ') {
            rest = less;
        }
        let without_blob = after_blob(rest).and_then(|rest| rest.strip_prefix(':'));
        if let Some(rest) = without_blob.or_else(|| rest.strip_prefix(':')) {
            return Some(rest);
        }
    }
    None
}

/// `*subj-blob subj-refwd`
fn after_blobs_and_refwd(text: &str) -> Option<&str> {
    let mut rest = text;
    loop {
        if let Some(after) = after_refwd(rest) {
            return Some(after);
        }
        rest = after_blob(rest)?;
    }
}

fn steps(subject: &str) -> (String, bool) {
    // (1)
    let mut text = subject.replace(['\t', '\r', '\n'], " ");
    while text.contains("  ") {
        text = text.replace("  ", " ");
    }
    let mut is_reply = false;
    loop {
        // (2)
        loop {
            if text.ends_with(' ') {
                text.pop();
            } else if text.to_ascii_lowercase().ends_with("(fwd)") {
                text.truncate(text.len() - "(fwd)".len());
                is_reply = true;
            } else {
                break;
            }
        }
        // (3) to (5)
        loop {
            if let Some(rest) = text.strip_prefix(' ') {
                text = rest.to_owned();
            } else if let Some(rest) = after_blobs_and_refwd(&text) {
                text = rest.to_owned();
                is_reply = true;
            } else if let Some(rest) = after_blob(&text).filter(|rest| !rest.is_empty()) {
                text = rest.to_owned();
            } else {
                break;
            }
        }
        // (6)
        if !(starts_with(&text, "[fwd:") && text.ends_with(']')) {
            return (text, is_reply);
        }
        text = text["[fwd:".len()..text.len() - 1].to_owned();
        is_reply = true;
    }
}

fn piece() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "re", "RE:", "Fw", "fwd", "fwd:", ":", "[", "]", "[a]", "[b c] ", " ", "\t", "\r\n ",
        "(fwd)", "(FWD) ", "[fwd:", "[Fwd: ", "x", "é", "(", ")",
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5_000))]
    #[test]
    fn base_subjects_are_those_of_the_steps(pieces in proptest::collection::vec(piece(), 0..12)) {
        let subject = pieces.concat();
        let base = base_subject(&subject);
        prop_assert_eq!((base.text, base.is_reply), steps(&subject), "{:?}", subject);
    }
}
