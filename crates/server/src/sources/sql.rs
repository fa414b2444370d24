//! Users in a database: PostgreSQL or SQLite, by a query of the operator's.
//!
//! What a user is called is a bound parameter of the query, never a part of its text.

mod postgres;
mod sqlite;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use restante_auth::{Secret, schemes};
use restante_mailbox::canonical_user_name;
use tokio::time::timeout;

use super::template::Part;
use super::{Down, UserName};
use crate::config::UserSource;
use postgres::Postgres;
use sqlite::Sqlite;

pub(super) struct Sql {
    database: Database,
    timeout: Duration,
    /// The last hash that was seen: who does not exist takes as long as its user.
    decoy: Mutex<Option<Secret<String>>>,
}

enum Database {
    Postgres(Box<Postgres>),
    Sqlite(Sqlite),
}

/// A user of the database.
#[derive(Default, Clone)]
pub(super) struct Row {
    /// The stored password; `None`: no password fits.
    pub(super) stored: Option<Secret<String>>,
    /// What the user is called here, if the database says so.
    pub(super) user: Option<String>,
    pub(super) disabled: bool,
}

impl Row {
    /// What the user is called here.
    pub(super) fn called(&self, name: UserName<'_>) -> String {
        let user = self.user.as_deref().map(canonical_user_name);
        user.unwrap_or_else(|| name.full.to_owned())
    }
}

/// Says what is wrong with the name of a database of PostgreSQL.
pub(crate) fn check_database(database: &str) -> Result<(), String> {
    postgres::parse(database).map(drop)
}

impl Sql {
    pub(super) fn new(configured: &UserSource) -> Result<Sql, String> {
        let database = if configured.database().is_empty() {
            Database::Sqlite(Sqlite::new(
                configured.file(),
                configured.query(),
                configured.connections(),
                configured.timeout(),
            )?)
        } else {
            Database::Postgres(Box::new(Postgres::new(configured)?))
        };
        Ok(Sql {
            database,
            timeout: configured.timeout(),
            decoy: Mutex::default(),
        })
    }

    /// The user of this name.
    pub(super) async fn find(&self, name: UserName<'_>) -> Result<Option<Row>, Down> {
        let find = async {
            match &self.database {
                Database::Postgres(database) => database.find(name).await,
                Database::Sqlite(database) => database.find(name).await,
            }
        };
        let late = |_| Down(format!("no answer within {:?}", self.timeout));
        let mut found = timeout(self.timeout, find).await.map_err(late)??;
        if let Some(row) = &mut found
            && let Some(stored) = &row.stored
        {
            match schemes::check(stored.expose()) {
                Ok(()) => *self.decoy_now() = Some(stored.clone()),
                Err(error) => {
                    tracing::warn!(user = name.full, %error, "a password that cannot be checked");
                    row.stored = None;
                }
            }
        }
        Ok(found)
    }

    fn decoy_now(&self) -> std::sync::MutexGuard<'_, Option<Secret<String>>> {
        self.decoy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn decoy(&self) -> Option<Secret<String>> {
        self.decoy_now().clone()
    }
}

/// A query as the database wants it, and what its parameters are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Query {
    text: String,
    parameters: Vec<Part>,
}

impl Query {
    /// Puts parameters in the places of `%u`, `%n` and `%d`: `$1` for PostgreSQL, `?1` for SQLite.
    pub(crate) fn parse(text: &str, mark: char) -> Result<Query, String> {
        let mut query = Query {
            text: String::with_capacity(text.len()),
            parameters: Vec::new(),
        };
        // Inside of quotes a parameter would be plain text.
        let mut quote = None;
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            if c != '%' {
                match quote {
                    Some(open) if open == c => quote = None,
                    None if matches!(c, '\'' | '"') => quote = Some(c),
                    _ => {}
                }
                query.text.push(c);
                continue;
            }
            let part = match chars.peek() {
                Some('u') => Part::Full,
                Some('n') => Part::Local,
                Some('d') => Part::Domain,
                Some('%') => {
                    chars.next();
                    query.text.push('%');
                    continue;
                }
                _ if quote.is_some() => {
                    query.text.push('%');
                    continue;
                }
                other => {
                    let other = other.copied().map(String::from).unwrap_or_default();
                    return Err(format!("`%{other}` is none of %u, %n, %d, %%"));
                }
            };
            if quote.is_some() {
                return Err("%u, %n and %d are values of their own: without quotes".to_owned());
            }
            chars.next();
            let known = query.parameters.iter().position(|known| *known == part);
            let number = known.unwrap_or_else(|| {
                query.parameters.push(part);
                query.parameters.len() - 1
            });
            query.text.push_str(&format!("{mark}{}", number + 1));
        }
        Ok(query)
    }

    /// Whether the part before the `@` is among the parameters, and whether the domain is.
    pub(crate) fn asks_for(&self) -> (bool, bool) {
        let has = |part| self.parameters.contains(&part);
        let full = has(Part::Full);
        (full || has(Part::Local), full || has(Part::Domain))
    }

    fn values<'n>(&self, name: UserName<'n>) -> Vec<&'n str> {
        self.parameters
            .iter()
            .map(|part| name.part(*part))
            .collect()
    }
}

/// What text in the column `disabled` means. What is not clear locks out.
fn means_yes(text: &str) -> bool {
    let no = ["", "0", "f", "false", "n", "no", "off"];
    !no.iter().any(|no| text.trim().eq_ignore_ascii_case(no))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_parameters() {
        let query = Query::parse("SELECT p FROM t WHERE u = %u AND (d=%d OR x=%u)", '$').unwrap();
        assert_eq!(
            query.text,
            "SELECT p FROM t WHERE u = $1 AND (d=$2 OR x=$1)"
        );
        assert_eq!(query.values(UserName::new("a@b")), ["a@b", "b"]);
        assert_eq!(query.asks_for(), (true, true));
        let query =
            Query::parse("SELECT 5 %% 2, '100%', \"a%%\", 'it''s' WHERE u=%n", '?').unwrap();
        assert_eq!(
            query.text,
            "SELECT 5 % 2, '100%', \"a%\", 'it''s' WHERE u=?1"
        );
        assert_eq!(query.values(UserName::new("a@b")), ["a"]);
        assert_eq!(query.asks_for(), (true, false));
        for wrong in [
            "u = '%u'",
            "u = \"%n\"",
            "u = 'it''s %d'",
            "u = %x",
            "u = %",
        ] {
            assert!(Query::parse(wrong, '$').is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_locks_out() {
        for text in ["1", "t", "true", "Y", "yes", "on", "2026-01-01", "?"] {
            assert!(means_yes(text), "{text}");
        }
        for text in ["", "0", "f", "False", "N", " no "] {
            assert!(!means_yes(text), "{text}");
        }
    }
}
