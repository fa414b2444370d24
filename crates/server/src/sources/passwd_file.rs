//! A file of users as Dovecot has it: `user:{SCHEME}hash:uid:gid:gecos:home:shell:extra`.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use restante_auth::schemes;

use super::{Down, Template, UserName};
use crate::config::Network;
use crate::files;

/// The largest file that is read.
const FILE_BYTES_MAX: u64 = 256 << 20;
/// A file that was changed so shortly before it was read is read again: the next change may not show.
const SETTLED: Duration = Duration::from_secs(2);
/// Lines whose faults are logged.
const FAULTS_MAX: usize = 20;

pub(super) struct PasswdFile {
    path: PathBuf,
    /// What a user is called there.
    name: Template,
    loaded: Arc<Mutex<Option<Arc<Table>>>>,
    /// Chooses decoys.
    random: RandomState,
}

/// The file as it was read.
pub(super) struct Table {
    seen: Seen,
    entries: Vec<Entry>,
    by_name: HashMap<String, usize>,
}

/// By what a change is noticed.
#[derive(PartialEq, Eq, Clone, Copy)]
struct Seen {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// A user of the file.
#[derive(Default)]
pub(super) struct Entry {
    name: String,
    /// `None`: no password fits.
    pub(super) stored: Option<String>,
    /// `nologin`: may not sign in.
    pub(super) locked: bool,
    /// `allow_nets`: from where they may sign in; `None`: from everywhere.
    allowed: Option<Vec<Network>>,
    /// `local` of `allow_nets`: from this machine without an address.
    allowed_local: bool,
}

impl PasswdFile {
    pub(super) fn new(path: &Path, name: Template) -> PasswdFile {
        PasswdFile {
            path: path.to_owned(),
            name,
            loaded: Arc::default(),
            random: RandomState::new(),
        }
    }

    /// The file as it is now.
    pub(super) async fn table(&self) -> Result<Arc<Table>, Down> {
        let (path, loaded) = (self.path.clone(), Arc::clone(&self.loaded));
        // On a thread that may wait: the disk may be slow, or a network away.
        let load = tokio::task::spawn_blocking(move || {
            let mut loaded = loaded.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(table) = &*loaded
                && table.is_current(&path)?
            {
                return Ok(Arc::clone(table));
            }
            let table = Arc::new(Table::read(&path)?);
            tracing::info!(file = %path.display(), users = table.entries.len(), "users read");
            *loaded = Some(Arc::clone(&table));
            Ok::<_, io::Error>(table)
        });
        let down = |reason: &dyn std::fmt::Display| {
            Down(format!("{}: cannot be read: {reason}", self.path.display()))
        };
        match load.await {
            Ok(table) => table.map_err(|error| down(&error)),
            Err(error) => Err(down(&error)),
        }
    }

    pub(super) fn find<'t>(&self, table: &'t Table, name: UserName<'_>) -> Option<&'t Entry> {
        let name = self.name.plain(name);
        let index = table.by_name.get(&name)?;
        table.entries.get(*index)
    }

    /// The hash of some user, the same for the same name: who does not exist takes as long as they.
    pub(super) fn decoy<'t>(&self, table: &'t Table, name: UserName<'_>) -> Option<&'t str> {
        let count = u64::try_from(table.entries.len()).ok()?;
        let index = self.random.hash_one(name.full).checked_rem(count)?;
        let entry = table.entries.get(usize::try_from(index).ok()?)?;
        entry.stored.as_deref()
    }
}

impl Entry {
    /// Whether they may sign in from there.
    pub(super) fn allows(&self, from: Option<IpAddr>) -> bool {
        match (&self.allowed, from) {
            (None, _) => true,
            (Some(networks), Some(from)) => networks.iter().any(|one| one.contains(from)),
            (Some(_), None) => self.allowed_local,
        }
    }
}

impl Seen {
    fn of(meta: &std::fs::Metadata) -> Seen {
        Seen {
            device: meta.dev(),
            inode: meta.ino(),
            bytes: meta.len(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }
}

impl Table {
    fn is_current(&self, path: &Path) -> io::Result<bool> {
        Ok(Seen::of(&std::fs::metadata(path)?) == self.seen)
    }

    fn read(path: &Path) -> io::Result<Table> {
        let meta = std::fs::metadata(path)?;
        if meta.len() > FILE_BYTES_MAX {
            return Err(io::Error::other("it is too large"));
        }
        let text = String::from_utf8(files::read_secret(path)?);
        let text = text.map_err(|_| io::Error::other("it is not UTF-8"))?;
        let mut table = Table::parse(&text, path);
        table.seen = Seen::of(&meta);
        let age = meta
            .modified()
            .map(|at| SystemTime::now().duration_since(at));
        if !age.is_ok_and(|age| age.is_ok_and(|age| age > SETTLED)) {
            table.seen.bytes = u64::MAX;
        }
        Ok(table)
    }

    fn parse(text: &str, path: &Path) -> Table {
        let mut table = Table {
            seen: Seen {
                device: 0,
                inode: 0,
                bytes: 0,
                modified: (0, 0),
                changed: (0, 0),
            },
            entries: Vec::new(),
            by_name: HashMap::new(),
        };
        let mut faults = 0;
        let mut fault = |line: usize, reason: &str| {
            faults += 1;
            if faults <= FAULTS_MAX {
                tracing::warn!(file = %path.display(), line, reason, "not a user");
            }
        };
        for (index, line) in text.lines().enumerate() {
            let line = line.strip_suffix('\r').unwrap_or(line);
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let entry = match Entry::parse(line) {
                Ok(entry) => entry,
                Err(reason) => {
                    fault(index + 1, &reason);
                    continue;
                }
            };
            // As Dovecot does: the first counts.
            if table.by_name.contains_key(&entry.name) {
                fault(index + 1, "the user is there already, above");
                continue;
            }
            table
                .by_name
                .insert(entry.name.clone(), table.entries.len());
            table.entries.push(entry);
        }
        table
    }
}

impl Entry {
    fn parse(line: &str) -> Result<Entry, String> {
        let mut fields = line.splitn(8, ':');
        let name = fields.next().unwrap_or_default();
        if name.is_empty() {
            return Err("it has no name".to_owned());
        }
        let stored = fields.next().unwrap_or_default();
        let mut entry = Entry {
            name: restante_mailbox::canonical_user_name(name),
            ..Entry::default()
        };
        if !stored.is_empty() {
            // Said once, when the file is read. Such a user is known, and no password fits.
            match schemes::check(stored) {
                Ok(()) => entry.stored = Some(stored.to_owned()),
                Err(error) => {
                    let name = &entry.name;
                    tracing::warn!(user = %name, %error, "a password that cannot be checked");
                }
            }
        }
        // After uid, gid, gecos, home and shell.
        for extra in fields.nth(5).unwrap_or_default().split_whitespace() {
            let (key, value) = extra.split_once('=').unwrap_or((extra, ""));
            match key {
                "nologin" => entry.locked = true,
                // Who is restricted in a way that is not understood is not let in at all.
                "allow_nets" => entry.allow(value).unwrap_or_else(|error| {
                    tracing::warn!(user = %entry.name, error, "allow_nets that is not understood");
                    entry.locked = true;
                }),
                _ => {}
            }
        }
        Ok(entry)
    }

    fn allow(&mut self, networks: &str) -> Result<(), String> {
        let mut allowed = Vec::new();
        for network in networks.split(',') {
            match network {
                "local" => self.allowed_local = true,
                network => allowed.push(network.parse()?),
            }
        }
        self.allowed = Some(allowed);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# comment\n\
        ada:{PLAIN}secret:1000:1000:Ada:/home/ada:/bin/false:userdb_quota_rule=*:storage=1G\n\
        \n\
        Bob@Example.ORG:{SHA256-CRYPT}$5$81wUcIHI68pLK08w$ZOEf74bRAWo2OrFc.Xh2Tfo/nr6muLWWSkXRjb4sBq7\r\n\
        carol:{PLAIN}x::::::allow_nets=192.0.2.0/24,2001:db8::/32,local\n\
        dave:{PLAIN}x:::::: nologin\n\
        eve:*:\n\
        frank:\n\
        grace\n\
        ada:{PLAIN}other\n\
        :{PLAIN}nobody\n\
        henry:{PLAIN}x::::::allow_nets=nonsense\n";

    fn file(name: &str) -> PasswdFile {
        PasswdFile::new(Path::new("/nonexistent"), Template::parse(name).unwrap())
    }

    #[test]
    fn the_format_of_dovecot() {
        let table = Table::parse(FILE, Path::new("FILE"));
        let file = file("%u");
        let entry = |name: &str| file.find(&table, UserName::new(name));
        assert_eq!(
            entry("ada").unwrap().stored.as_deref(),
            Some("{PLAIN}secret")
        );
        assert!(entry("bob@example.org").unwrap().stored.is_some());
        for unusable in ["eve", "frank", "grace"] {
            assert_eq!(entry(unusable).unwrap().stored, None, "{unusable}");
        }
        assert!(entry("henry").unwrap().locked);
        for nobody in ["", "ADA", "#", "bob", "# comment"] {
            assert!(entry(nobody).is_none(), "{nobody}");
        }
        assert!(entry("dave").unwrap().locked && !entry("carol").unwrap().locked);
        let from = |name: &str, from: Option<&str>| {
            let from = from.map(|from| from.parse().unwrap());
            entry(name).unwrap().allows(from)
        };
        assert!(from("carol", Some("192.0.2.9")) && from("carol", Some("::ffff:192.0.2.9")));
        assert!(from("carol", Some("2001:db8::1")) && from("carol", None));
        assert!(!from("carol", Some("198.51.100.1")));
        assert!(from("ada", Some("198.51.100.1")) && from("ada", None));
        assert!(
            file.decoy(&table, UserName::new("nobody"))
                .is_none_or(|hash| !hash.is_empty())
        );
        let local = PasswdFile {
            name: Template::parse("%n").unwrap(),
            ..file
        };
        assert!(
            local
                .find(&table, UserName::new("ada@example.org"))
                .is_some()
        );
    }

    #[tokio::test]
    async fn a_change_is_seen_at_once_and_an_absent_file_is_down() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("users");
        let file = PasswdFile::new(&path, Template::parse("%u").unwrap());
        assert!(file.table().await.is_err());
        for round in 0..20 {
            // The same length, perhaps within one tick of the file system's clock.
            std::fs::write(&path, format!("user{:02}:{{PLAIN}}x\n", round)).unwrap();
            let table = file.table().await.unwrap();
            let name = format!("user{round:02}");
            assert!(file.find(&table, UserName::new(&name)).is_some(), "{round}");
            assert_eq!(table.entries.len(), 1);
        }
        std::fs::remove_file(&path).unwrap();
        assert!(file.table().await.is_err());
        std::fs::write(&path, b"\xff").unwrap();
        assert!(file.table().await.is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_file_panics(text in "([a@:{}$.=, \n]|nologin|allow_nets|::1/8){0,60}") {
            let table = Table::parse(&text, Path::new("FILE"));
            let file = file("%u");
            for entry in &table.entries {
                let _ = entry.allows(None);
                let _ = file.find(&table, UserName::new(&entry.name));
                let _ = file.decoy(&table, UserName::new(&entry.name));
            }
        }
    }
}
