//! The tables of docs/rfc/rules name, for each rule of an RFC, what shows it: all that they name is there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

const TRANSCRIPTS: &str = "tests/transcripts";
/// `lmtp/NAME` is one of its dialogues.
const LMTP_DIALOGUES: &str = "crates/server/tests";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn walk(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, files);
        } else {
            files.push(path);
        }
    }
}

/// The names of the functions in the sources below each of `dirs`.
fn functions(dir: &Path, ending: &str, keyword: &str) -> BTreeSet<String> {
    let mut files = Vec::new();
    walk(dir, &mut files);
    files.retain(|file| file.extension().is_some_and(|at| at == ending));
    let texts = files
        .iter()
        .map(|file| std::fs::read_to_string(file).unwrap());
    let mut names = BTreeSet::new();
    for text in texts {
        for line in text.lines() {
            let line = line.trim_start();
            let line = line.strip_prefix("async ").unwrap_or(line);
            if let Some(rest) = line.strip_prefix(keyword) {
                let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
                names.insert(rest[..end.unwrap_or(rest.len())].to_owned());
            }
        }
    }
    names
}

#[test]
fn what_the_tables_name_is_there() {
    let root = root();
    let mut tests: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for entry in std::fs::read_dir(root.join("crates")).unwrap() {
        let dir = entry.unwrap().path();
        let name = dir.file_name().unwrap().to_str().unwrap();
        let name = if name == "cli" { "restante" } else { name };
        tests.insert(name.to_owned(), functions(&dir, "rs", "fn "));
    }
    let clients = functions(&root.join("tests/clients"), "py", "def ");
    tests.insert("clients".into(), clients);

    let mut tables = Vec::new();
    walk(&root.join("docs/rfc/rules"), &mut tables);
    let mut wrong = Vec::new();
    for table in tables {
        let file = table.file_name().unwrap().to_str().unwrap().to_owned();
        if file == "README.md" {
            continue;
        }
        let text = std::fs::read_to_string(&table).unwrap();
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some("section\trule\tshown"), "{file}");
        for (number, line) in lines.enumerate() {
            let at = format!("{file}:{}", number + 2);
            let columns: Vec<&str> = line.split('\t').collect();
            let [section, rule, shown] = columns[..] else {
                wrong.push(format!("{at}: not three columns"));
                continue;
            };
            if section.is_empty() || rule.is_empty() || shown.is_empty() {
                wrong.push(format!("{at}: an empty column"));
            }
            if let Some(why) = shown.strip_prefix("none: ") {
                if why.trim().is_empty() {
                    wrong.push(format!("{at}: none, and no reason"));
                }
                continue;
            }
            for word in shown.split(' ') {
                let is_there = match word.split_once("::") {
                    Some((of, name)) => tests.get(of).is_some_and(|of| of.contains(name)),
                    None => [TRANSCRIPTS, LMTP_DIALOGUES]
                        .iter()
                        .any(|below| root.join(format!("{below}/{word}.txt")).is_file()),
                };
                if !is_there {
                    wrong.push(format!("{at}: {word} is not there"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
