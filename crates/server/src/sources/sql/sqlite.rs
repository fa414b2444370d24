//! A file of SQLite, opened for each query: it may be replaced meanwhile.

use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OpenFlags, params_from_iter};
use tokio::sync::Semaphore;

use super::{Query, Row, means_yes};
use crate::sources::{Down, UserName};

/// Steps of SQLite's machine between two looks at the clock.
const STEPS: std::ffi::c_int = 10_000;

pub(super) struct Sqlite {
    file: PathBuf,
    query: Arc<Query>,
    running: Arc<Semaphore>,
    timeout: Duration,
}

impl Sqlite {
    pub(super) fn new(
        file: &Path,
        query: &str,
        connections: usize,
        timeout: Duration,
    ) -> Result<Sqlite, String> {
        Ok(Sqlite {
            file: file.to_owned(),
            query: Arc::new(Query::parse(query, '?')?),
            running: Arc::new(Semaphore::new(connections)),
            timeout,
        })
    }

    pub(super) async fn find(&self, name: UserName<'_>) -> Result<Option<Row>, Down> {
        let running = Arc::clone(&self.running).acquire_owned().await;
        let running = running.map_err(|error| Down(error.to_string()))?;
        let (file, query, timeout) = (self.file.clone(), Arc::clone(&self.query), self.timeout);
        let values: Vec<String> = query.values(name).iter().map(|v| (*v).to_owned()).collect();
        let found = tokio::task::spawn_blocking(move || {
            // Held as long as the file is in use, also when nobody waits any more.
            let _running = running;
            find(&file, &query.text, &values, timeout).map_err(|error| Down(error.to_string()))
        });
        found
            .await
            .unwrap_or_else(|error| Err(Down(error.to_string())))
    }
}

fn find(
    file: &Path,
    query: &str,
    values: &[String],
    timeout: Duration,
) -> rusqlite::Result<Option<Row>> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opened = Connection::open_with_flags(file, flags);
    let mut found = opened.and_then(|connection| find_in(connection, query, values, timeout));
    // A database with a write-ahead log that nobody has open: its reader would have to make the files of the
    // log, and this process may not write there. Without a log all is in the file, as long as it is left alone.
    for _ in 0..3 {
        if !found.as_ref().is_err_and(may_not_write) {
            break;
        }
        let Some(before) = at_rest(file) else { break };
        let flags = flags | OpenFlags::SQLITE_OPEN_URI;
        let opened = Connection::open_with_flags(immutable(file), flags);
        let read = opened.and_then(|connection| find_in(connection, query, values, timeout));
        if at_rest(file) == Some(before) {
            return read;
        }
        // Somebody wrote meanwhile: there is a log now, or another try.
        let opened = Connection::open_with_flags(file, flags);
        found = opened.and_then(|connection| find_in(connection, query, values, timeout));
    }
    found
}

/// Whether this is of a reader that would have to write.
fn may_not_write(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error_code();
    matches!(code, Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen))
}

/// What the file is now, if no log belongs to it.
fn at_rest(file: &Path) -> Option<[i64; 4]> {
    let mut log = file.as_os_str().to_owned();
    log.push("-wal");
    if std::fs::metadata(log).is_ok_and(|log| log.len() > 0) {
        return None;
    }
    let now = std::fs::metadata(file).ok()?;
    let inode = i64::try_from(now.ino()).unwrap_or(0);
    Some([
        inode,
        now.mtime(),
        now.mtime_nsec(),
        now.size().cast_signed(),
    ])
}

/// The address by which SQLite opens a file that nobody changes.
fn immutable(file: &Path) -> String {
    let mut uri = "file:".to_owned();
    for &byte in file.as_os_str().as_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' => uri.push(byte.into()),
            _ if byte.is_ascii_alphanumeric() => uri.push(byte.into()),
            _ => uri.push_str(&format!("%{byte:02x}")),
        }
    }
    uri + "?immutable=1"
}

fn find_in(
    mut connection: Connection,
    query: &str,
    values: &[String],
    timeout: Duration,
) -> rusqlite::Result<Option<Row>> {
    connection.busy_timeout(timeout)?;
    let end = Instant::now() + timeout;
    connection.progress_handler(STEPS, Some(move || Instant::now() > end))?;
    let mut statement = connection.prepare(query)?;
    let column = |name: &str| {
        let mut names = statement.column_names();
        names.position(|one| one.eq_ignore_ascii_case(name))
    };
    let (password, user, disabled) = (column("password"), column("user"), column("disabled"));
    let wrong = |reason: &str| rusqlite::Error::InvalidParameterName(reason.to_owned());
    let password = password.ok_or_else(|| wrong("the query has no column `password`"))?;
    let mut rows = statement.query(params_from_iter(values))?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    let stored: Option<String> = row.get(password)?;
    let user = user.map(|column| row.get(column)).transpose()?.flatten();
    let disabled = match disabled.map(|column| row.get_ref(column)).transpose()? {
        None | Some(ValueRef::Null | ValueRef::Integer(0)) => false,
        Some(ValueRef::Text(text)) => means_yes(&String::from_utf8_lossy(text)),
        Some(_) => true,
    };
    let found = Row {
        stored: stored.map(Into::into),
        user,
        disabled,
    };
    match rows.next()? {
        None => Ok(Some(found)),
        Some(_) => Err(wrong("the query finds several users")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn ask(file: &Path, query: &str, name: &str) -> Result<Option<Row>, String> {
        let database = Sqlite::new(file, query, 2, Duration::from_secs(2)).unwrap();
        let found = database.find(UserName::new(name)).await;
        found.map_err(|Down(reason)| reason)
    }

    #[tokio::test]
    async fn a_user_of_a_table() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("users.sqlite");
        let query = "SELECT password, alias AS user, disabled FROM users WHERE name = %u";
        assert!(ask(&file, query, "ada").await.is_err());
        assert!(!file.exists());
        let writer = Connection::open(&file).unwrap();
        writer
            .execute_batch(
                "CREATE TABLE users (name TEXT, password TEXT, alias TEXT, disabled);
                 INSERT INTO users VALUES ('ada', '{PLAIN}x', NULL, 0), ('bob', NULL, 'ada', NULL),
                     ('eve', '{PLAIN}y', NULL, 1), ('tim', '{PLAIN}z', NULL, 'yes'),
                     ('two', 'a', NULL, 0), ('two', 'b', NULL, 0);",
            )
            .unwrap();
        let user = async |name: &str| ask(&file, query, name).await.unwrap();
        let ada = user("ada").await.unwrap();
        assert_eq!(ada.stored.unwrap().expose(), "{PLAIN}x");
        assert!(ada.user.is_none() && !ada.disabled);
        let bob = user("bob").await.unwrap();
        assert!(bob.stored.is_none() && bob.user.as_deref() == Some("ada") && !bob.disabled);
        assert!(user("eve").await.unwrap().disabled && user("tim").await.unwrap().disabled);
        for nobody in [
            "ADA",
            "",
            "ada' OR '1'='1",
            "'; DROP TABLE users; --",
            "%",
            "ada\u{0}",
        ] {
            assert!(user(nobody).await.is_none(), "{nobody}");
        }
        let several = ask(&file, query, "two").await;
        assert!(several.err().unwrap().contains("several"));
        let blind = ask(&file, "SELECT name FROM users WHERE name = %u", "ada").await;
        assert!(blind.err().unwrap().contains("no column `password`"));
        // It is only read.
        let write = "DELETE FROM users WHERE name = %u RETURNING password";
        assert!(ask(&file, write, "ada").await.is_err());
        assert!(user("ada").await.is_some());
        // A query that would run on and on is ended.
        let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)
            SELECT %u AS password FROM n WHERE i < 0";
        let start = Instant::now();
        assert!(ask(&file, endless, "ada").await.is_err());
        assert!(start.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn odd_paths_are_addresses() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a b?c#d%e.sqlite");
        Connection::open(&file)
            .unwrap()
            .execute_batch("CREATE TABLE u (password TEXT); INSERT INTO u VALUES ('{PLAIN}x');")
            .unwrap();
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
        let connection = Connection::open_with_flags(immutable(&file), flags).unwrap();
        let second = Duration::from_secs(1);
        let row = find_in(connection, "SELECT password FROM u", &[], second);
        assert_eq!(row.unwrap().unwrap().stored.unwrap().expose(), "{PLAIN}x");
        // A log is not passed over.
        assert!(at_rest(&file).is_some());
        std::fs::write(dir.path().join("a b?c#d%e.sqlite-wal"), "x").unwrap();
        assert!(at_rest(&file).is_none());
    }
}
