use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::*;

#[test]
fn ranges_mean_languages() {
    let cases = [
        ("de", Some(Language::German)),
        ("DE-at-1996", Some(Language::German)),
        ("fr-x-any", Some(Language::French)),
        ("I-DEFAULT", Some(Language::Default)),
        ("*", Some(Language::Default)),
        ("mul", None),
        ("d", None),
        ("i", None),
        ("-", None),
    ];
    for (range, expected) in cases {
        assert_eq!(Language::of_range(range), expected, "{range}");
    }
}

#[test]
fn texts_are_translated_whole_or_around_what_stays() {
    let german = Language::German;
    assert_eq!(
        german.text("No such mailbox"),
        "Dieses Postfach gibt es nicht"
    );
    assert_eq!(german.text("NOOP completed"), "NOOP ausgeführt");
    assert_eq!(
        german.text("expected a tag (at byte 7)"),
        "Syntaxfehler: expected a tag (bei Byte 7)"
    );
    assert_eq!(german.text("What nobody wrote"), "What nobody wrote");
    for language in [Language::Default, Language::English] {
        assert_eq!(language.text("NOOP completed"), "NOOP completed");
    }
    assert_eq!(
        Language::French.namespace("Other Users/").as_deref(),
        Some("Autres utilisateurs/")
    );
    assert_eq!(Language::French.namespace(""), None);
    assert_eq!(Language::Default.namespace("Other Users/"), None);
}

#[test]
fn rows_are_whole_and_can_be_sent() {
    let mut seen = BTreeSet::new();
    let mut rows = ROWS.lines();
    assert_eq!(rows.next(), Some("en\tde\tfr\tes"));
    for row in rows {
        let columns: Vec<&str> = row.split('\t').collect();
        assert_eq!(columns.len(), 4, "{row}");
        assert!(seen.insert(columns[0]), "twice: {row}");
        for text in &columns {
            assert!(!text.is_empty(), "{row}");
            // RFC 5255 §3.5: no controls, and no bracket that could begin a code.
            assert!(text.chars().all(|c| !c.is_control() && c != '['), "{row}");
            let holes = |text: &str| text.matches("{}").count();
            assert_eq!(holes(text), holes(columns[0]), "{row}");
        }
    }
}

/// What a client may be told stands in the source as a sentence. Each of them is in the catalogue.
#[test]
fn every_text_is_in_the_catalogue() {
    // It goes to the log.
    const NOT_FOR_CLIENTS: [&str; 1] = ["TLS handshake took too long"];
    let mut missing = BTreeSet::new();
    let mut count = 0;
    for path in sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")) {
        let source = std::fs::read_to_string(&path).expect("a source file");
        let code = source.split("#[cfg(test)]").next().unwrap_or_default();
        for text in sentences(code) {
            count += 1;
            let known = CATALOGUE.find(&text, 0).is_some();
            if !known && !NOT_FOR_CLIENTS.contains(&&*text) {
                missing.insert(format!("{text:?} ({})", path.display()));
            }
        }
    }
    assert!(count > 100, "found {count}");
    assert!(
        missing.is_empty(),
        "not in crates/session/src/language/catalogue.tsv:\n{}",
        missing.into_iter().collect::<Vec<_>>().join("\n")
    );
}

fn sources(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in directory.read_dir().expect("a directory") {
        let path = entry.expect("an entry").path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if name.ends_with(".rs") && !name.ends_with("tests.rs") {
            found.push(path);
        }
    }
    found
}

/// String literals of some words that begin with a capital, but for those that are logged.
fn sentences(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = code;
    let mut before = String::new();
    while let Some(at) = rest.find(['"', '/', '\'']) {
        before.push_str(&rest[..at]);
        rest = &rest[at..];
        if rest.starts_with("//") {
            rest = &rest[rest.find('\n').unwrap_or(rest.len())..];
            continue;
        }
        if let Some(after) = ["'\"'", "'\\''", "'\\\\'"]
            .iter()
            .find_map(|c| rest.strip_prefix(c))
        {
            rest = after;
            continue;
        }
        if !rest.starts_with('"') {
            before.push_str(&rest[..1]);
            rest = &rest[1..];
            continue;
        }
        let (text, after) = literal(&rest[1..]);
        rest = after;
        let statement = before.rsplit([';', '{', '}']).next().unwrap_or_default();
        let logged = ["tracing::", ".expect("]
            .iter()
            .any(|word| statement.contains(word));
        let begins = text.starts_with(|c: char| c.is_ascii_uppercase() || c == '\\');
        let words = text
            .split(' ')
            .filter(|word| !word.is_empty() && word.chars().all(char::is_alphanumeric));
        if begins && words.count() > 1 && !text.contains('\n') && !logged {
            found.push(text);
        }
    }
    found
}

/// The text of a literal after its quote, and what follows it.
fn literal(code: &str) -> (String, &str) {
    let mut text = String::new();
    let mut chars = code.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (text, &code[at + 1..]),
            '\\' => match chars.next() {
                // The text goes on in the next line.
                Some((_, '\n')) => {
                    let blank = |c: char| c == ' ' || c == '\n';
                    let left = chars.as_str();
                    let skipped = left.len() - left.trim_start_matches(blank).len();
                    if let Some(last) = skipped.checked_sub(1) {
                        chars.nth(last);
                    }
                }
                Some((_, 'n' | 'r')) => text.push('\n'),
                Some((_, c)) => text.push(c),
                None => break,
            },
            c => text.push(c),
        }
    }
    (text, "")
}
