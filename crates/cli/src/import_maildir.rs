//! Maildir: files in `cur` and `new`, flags in their names; subfolders as Maildir++ (`.A.B`) or as
//! directories; Dovecot's files beside them.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use restante_proto::types::MailboxName;

use crate::import::{Body, Importer, Message, is_keyword, progress};

/// Folders within folders that are followed.
const DEPTH_MAX: usize = 32;

pub(crate) async fn run(
    importer: &mut Importer,
    root: &Path,
    below: Option<&str>,
) -> Result<(), String> {
    if !is_maildir(root) && !root.is_dir() {
        return Err(format!("{}: not a Maildir", root.display()));
    }
    let mut folders = Vec::new();
    find(root, &[], 0, &mut folders)?;
    if folders.is_empty() {
        return Err(format!(
            "{}: no Maildir here (a directory with cur and new)",
            root.display()
        ));
    }
    folders.sort();
    let subscribed = subscriptions(root);
    let mut files = Vec::with_capacity(folders.len());
    for folder in &folders {
        files.push(entries(&folder.path)?);
    }
    let total = files.iter().map(|files| files.len() as u64).sum();
    let bar = progress(total, "{bar:40} {pos}/{len} messages, {eta} left  {msg}");
    for (folder, files) in folders.iter().zip(files) {
        let name = mailbox_name(&folder.names, below);
        bar.set_message(name.clone());
        let subscribe = match &subscribed {
            Some(list) => list.contains(&folder.names.join(".")),
            None => true,
        };
        let uids = UidList::read(&folder.path);
        let keywords = keywords(&folder.path);
        let mut found: Vec<Found> = files
            .into_iter()
            .map(|(path, name)| Found {
                uid: uids.uids.get(&base(&name)).copied(),
                path,
                name,
            })
            .collect();
        // Those with UIDs in their order, then the others as they came.
        found.sort_by(|a, b| {
            (a.uid.is_none(), a.uid, &a.name).cmp(&(b.uid.is_none(), b.uid, &b.name))
        });
        let messages = found.into_iter().map(|found| Ok(found.message(&keywords)));
        importer
            .mailbox(
                &name,
                (uids.uid_validity, uids.uid_next),
                subscribe,
                messages,
                &bar,
                |bar, _| bar.inc(1),
            )
            .await?;
    }
    bar.finish_and_clear();
    Ok(())
}

/// A folder: where it is, and its name level by level; INBOX has none.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Folder {
    names: Vec<String>,
    path: PathBuf,
}

fn is_maildir(path: &Path) -> bool {
    path.join("cur").is_dir() && path.join("new").is_dir()
}

fn find(dir: &Path, names: &[String], depth: usize, out: &mut Vec<Folder>) -> Result<(), String> {
    if is_maildir(dir) {
        out.push(Folder {
            names: names.to_vec(),
            path: dir.to_owned(),
        });
    }
    if depth >= DEPTH_MAX {
        return Ok(());
    }
    let about = |error: std::io::Error| format!("{}: {error}", dir.display());
    for entry in fs::read_dir(dir).map_err(about)? {
        let entry = entry.map_err(about)?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        // Links are not followed: they may lead anywhere, and round in circles.
        if !entry.file_type().is_ok_and(|kind| kind.is_dir())
            || ["cur", "new", "tmp"].contains(&name.as_str())
        {
            continue;
        }
        let mut names = names.to_vec();
        match name.strip_prefix('.') {
            Some(levels) => {
                names.extend(
                    levels
                        .split('.')
                        .filter(|l| !l.is_empty())
                        .map(str::to_owned),
                );
            }
            None => names.push(name),
        }
        find(&entry.path(), &names, depth + 1, out)?;
    }
    Ok(())
}

/// The mailbox for a folder: its levels in UTF-8 (on disk they are modified UTF-7, or UTF-8).
fn mailbox_name(names: &[String], below: Option<&str>) -> String {
    let mut levels: Vec<String> = below.map(str::to_owned).into_iter().collect();
    for name in names {
        // A dot within a level, as `restante export` writes it.
        let name = name.replace("&AC4-", ".");
        let decoded = MailboxName::from_mutf7(name.as_bytes());
        levels.push(decoded.map_or(name, |decoded| decoded.as_str().to_owned()));
    }
    if levels.is_empty() {
        "INBOX".to_owned()
    } else {
        levels.join("/")
    }
}

/// Files of a folder: path and name.
fn entries(folder: &Path) -> Result<Vec<(PathBuf, OsString)>, String> {
    let mut files = Vec::new();
    for part in ["cur", "new"] {
        let dir = folder.join(part);
        let about = |error: std::io::Error| format!("{}: {error}", dir.display());
        for entry in fs::read_dir(&dir).map_err(about)? {
            let entry = entry.map_err(about)?;
            let name = entry.file_name();
            // A pipe would be waited for without end; a link to a file is one.
            let is_file = fs::metadata(entry.path()).is_ok_and(|meta| meta.is_file());
            if !name.as_bytes().starts_with(b".") && is_file {
                files.push((entry.path(), name));
            }
        }
    }
    Ok(files)
}

/// A file's name without its flags.
fn base(name: &OsString) -> Vec<u8> {
    let bytes = name.as_bytes();
    bytes[..info_at(bytes).unwrap_or(bytes.len())].to_vec()
}

/// Where `:2,` begins; where colons are not allowed, `;` or `!` stands for it.
fn info_at(name: &[u8]) -> Option<usize> {
    name.windows(3)
        .rposition(|w| matches!(w, [b':' | b';' | b'!', b'2', b',']))
}

struct Found {
    uid: Option<u32>,
    path: PathBuf,
    name: OsString,
}

impl Found {
    fn message(self, keywords: &HashMap<u8, String>) -> Message {
        let date = fs::metadata(&self.path)
            .and_then(|meta| meta.modified())
            .ok()
            .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
            .and_then(|since| i64::try_from(since.as_secs()).ok());
        Message {
            uid: self.uid,
            date: date.unwrap_or(0),
            flags: flags(self.name.as_bytes(), keywords),
            body: Body::File(self.path),
        }
    }
}

fn flags(name: &[u8], keywords: &HashMap<u8, String>) -> Vec<String> {
    let Some(at) = info_at(name) else {
        return Vec::new();
    };
    let mut flags = Vec::new();
    // Dovecot puts its own data behind a comma.
    for letter in name[at + 3..].iter().take_while(|b| **b != b',') {
        let flag = match letter {
            b'P' => "$Forwarded",
            b'R' => "\\Answered",
            b'S' => "\\Seen",
            b'T' => "\\Deleted",
            b'D' => "\\Draft",
            b'F' => "\\Flagged",
            letter => match keywords.get(letter) {
                Some(keyword) => keyword,
                None => continue,
            },
        };
        flags.push(flag.to_owned());
    }
    flags
}

/// `dovecot-keywords`: lines of number and keyword; the number is a letter in file names.
fn keywords(folder: &Path) -> HashMap<u8, String> {
    let text = fs::read_to_string(folder.join("dovecot-keywords")).unwrap_or_default();
    let lines = text.lines().filter_map(|line| {
        let (number, keyword) = line.split_once(' ')?;
        let number: u8 = number.parse().ok().filter(|n| *n < 26)?;
        is_keyword(keyword).then(|| (b'a' + number, keyword.to_owned()))
    });
    lines.collect()
}

/// `dovecot-uidlist`: UIDVALIDITY, and UIDs by file name.
#[derive(Debug, Default)]
struct UidList {
    uid_validity: Option<u32>,
    uid_next: Option<u32>,
    uids: HashMap<Vec<u8>, u32>,
}

impl UidList {
    fn read(folder: &Path) -> UidList {
        let bytes = fs::read(folder.join("dovecot-uidlist")).unwrap_or_default();
        UidList::parse(&bytes).unwrap_or_default()
    }

    /// Version 3: `3 V<uidvalidity> N<uidnext> …`, then `<uid> [<extension>…] :<file name>`.
    /// Version 1: `1 <uidvalidity> <uidnext>`, then `<uid> <file name>`.
    fn parse(bytes: &[u8]) -> Option<UidList> {
        let mut lines = bytes.split(|b| *b == b'\n');
        let header = std::str::from_utf8(lines.next()?).ok()?;
        let mut words = header.split(' ');
        let version = words.next()?;
        let (uid_validity, uid_next): (u32, u32) = match version {
            "3" => {
                let words: Vec<_> = words.collect();
                let number = |letter| words.iter().find_map(|word| word.strip_prefix(letter));
                (number('V')?.parse().ok()?, number('N')?.parse().ok()?)
            }
            "1" => (words.next()?.parse().ok()?, words.next()?.parse().ok()?),
            _ => return None,
        };
        let mut list = UidList {
            uid_validity: Some(uid_validity).filter(|v| *v > 0),
            uid_next: Some(uid_next),
            uids: HashMap::new(),
        };
        for line in lines {
            let Some(space) = line.iter().position(|b| *b == b' ') else {
                continue;
            };
            let uid = std::str::from_utf8(&line[..space])
                .ok()
                .and_then(|uid| uid.parse().ok());
            let rest = &line[space..];
            let name = match version {
                "3" => rest
                    .windows(2)
                    .position(|w| w == b" :")
                    .map(|at| &rest[at + 2..]),
                _ => rest.get(1..),
            };
            if let (Some(uid), Some(name)) = (uid.filter(|uid| *uid > 0), name) {
                let name = &name[..info_at(name).unwrap_or(name.len())];
                list.uids.insert(name.to_vec(), uid);
            }
        }
        Some(list)
    }
}

/// Dovecot's list of subscriptions, as folder names with dots; `None` if there is none.
fn subscriptions(root: &Path) -> Option<Vec<String>> {
    let text = fs::read_to_string(root.join("subscriptions")).ok()?;
    let tabs = text.starts_with("V\t");
    let mut list: Vec<String> = text
        .lines()
        .skip(usize::from(tabs))
        .filter(|line| !line.is_empty())
        .map(|line| {
            if tabs {
                line.replace('\t', ".")
            } else {
                line.to_owned()
            }
        })
        .map(|line| {
            line.strip_prefix("INBOX.")
                .map_or(line.clone(), str::to_owned)
        })
        .collect();
    // INBOX has no levels.
    list.push(String::new());
    Some(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_in_the_name() {
        let keywords = HashMap::from([(b'a', "$Label1".to_owned())]);
        let flags = |name: &str| flags(name.as_bytes(), &keywords).join(" ");
        assert_eq!(flags("1.M1.host:2,FSa"), "\\Flagged \\Seen $Label1");
        assert_eq!(
            flags("1.M1.host,S=12:2,PRTD"),
            "$Forwarded \\Answered \\Deleted \\Draft"
        );
        assert_eq!(flags("1.M1.host;2,S"), "\\Seen");
        assert_eq!(flags("1.M1.host:2,b"), "");
        assert_eq!(flags("1.M1.host"), "");
    }

    #[test]
    fn uidlists_of_both_versions() {
        let three = b"3 V1275660208 N25022 G3085f01b7f11094c\n25006 :1276.M1.host,S=1\n\
                      25017 W2481 S100 :1277.M2.host:2,S\nx\n";
        let list = UidList::parse(three).unwrap();
        assert_eq!(list.uid_validity, Some(1_275_660_208));
        assert_eq!(list.uids[&b"1276.M1.host,S=1"[..]], 25006);
        assert_eq!(list.uids[&b"1277.M2.host"[..]], 25017);
        let one = UidList::parse(b"1 1173189136 20221\n20001 1175.M3.host\n").unwrap();
        assert_eq!(
            (one.uid_validity, one.uids[&b"1175.M3.host"[..]]),
            (Some(1_173_189_136), 20001)
        );
        assert!(UidList::parse(b"").is_none());
        assert!(UidList::parse(b"2 x").is_none());
    }

    #[test]
    fn names_of_folders() {
        let name = |levels: &[&str], below| {
            mailbox_name(
                &levels.iter().map(|l| (*l).to_owned()).collect::<Vec<_>>(),
                below,
            )
        };
        assert_eq!(name(&[], None), "INBOX");
        assert_eq!(name(&["Entw&APw-rfe", "2025"], None), "Entwürfe/2025");
        assert_eq!(name(&["Entwürfe"], Some("Old")), "Old/Entwürfe");
        assert_eq!(name(&[], Some("Old")), "Old");
    }
}
