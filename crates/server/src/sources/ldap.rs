//! Users of an LDAP directory (RFC 4511): the server checks passwords itself, when we bind as the user.
//!
//! Either the user's DN is made of the name (`user_dn`), or it is searched for (`search_base`, `filter`).
//! What a user is called is escaped for the place it is put in: RFC 4514 in a DN, RFC 4515 in a filter.

use std::sync::Arc;
use std::time::Duration;

use ldap3::{
    Ldap as Handle, LdapConnAsync, LdapConnSettings, LdapError, Scope, SearchEntry, SearchOptions,
    dn_escape, ldap_escape,
};
use restante_auth::Secret;
use restante_mailbox::canonical_user_name;
use tokio::time::timeout;

use super::pool::Pool;
use super::{Down, Template, UserName};
use crate::config::UserSource;

/// A name that no user has: for the work of a bind when there is nobody to bind as.
const NOBODY: &str = "nobody\u{2060}here";

/// Results (RFC 4511 §4.1.9).
const SUCCESS: u32 = 0;
const SIZE_LIMIT_EXCEEDED: u32 = 4;
/// What a bind as a user may be answered that is a matter of this user: no such object, a DN that is none,
/// a user without a password, a wrong one, one that policy has locked.
const REFUSALS: [u32; 7] = [19, 32, 34, 48, 49, 50, 53];

pub(super) struct Ldap {
    url: String,
    settings: LdapConnSettings,
    users: Users,
    timeout: Duration,
    pool: Pool<Handle>,
}

/// How a user's DN is found.
enum Users {
    Template(Template),
    Search {
        base: String,
        filter: Template,
        /// As whom we search; `None`: anonymously.
        as_dn: Option<(String, Secret<String>)>,
        /// The attribute with what the user is called here.
        attribute: Option<String>,
    },
}

/// What the directory says.
pub(super) enum Answer {
    /// There is such a user, called so; with the password, if one was shown.
    Yes(String),
    Wrong,
    Unknown,
    /// Without a password it cannot say.
    CannotTell,
}

/// What is asked.
#[derive(Clone, Copy)]
pub(super) enum Question<'q> {
    /// Whether there is such a user.
    Exists,
    /// Whether it is the user's password.
    Password(&'q Secret<String>),
    /// Nothing: the work of a wrong password is done, and the user's account there does not count it.
    Pretence(&'q Secret<String>),
}

/// What went wrong, and with what.
enum Failed {
    /// The connection is of no use any more.
    Lost(LdapError),
    /// The directory answered with something else.
    Answer(String),
}

impl From<LdapError> for Failed {
    fn from(error: LdapError) -> Failed {
        Failed::Lost(error)
    }
}

impl Ldap {
    pub(super) fn new(configured: &UserSource) -> Result<Ldap, String> {
        let mut settings = LdapConnSettings::new().set_conn_timeout(configured.timeout());
        if configured.ldap_tls() {
            let trusted = crate::http::client_tls(configured.ca_file())?;
            settings = settings.set_config(Arc::clone(&trusted)).set_starttls(true);
        }
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let users = match &configured.user_dn {
            Some(template) => Users::Template(Template::parse(template)?),
            None => Users::Search {
                base: text(&configured.search_base),
                filter: Template::parse(&text(&configured.filter))?,
                as_dn: match (&configured.bind_dn, configured.password()?) {
                    (Some(dn), Some(password)) => Some((dn.clone(), password)),
                    _ => None,
                },
                attribute: configured.user_attribute.clone(),
            },
        };
        // An empty password would make it an anonymous bind (RFC 4513 §5.1.2).
        if let Users::Search {
            as_dn: Some((_, password)),
            ..
        } = &users
            && password.expose().is_empty()
        {
            return Err("the password for users.bind_dn is empty".to_owned());
        }
        Ok(Ldap {
            url: text(&configured.url),
            settings,
            users,
            timeout: configured.timeout(),
            pool: Pool::new(configured.connections()),
        })
    }

    pub(super) async fn ask(
        &self,
        name: UserName<'_>,
        question: Question<'_>,
    ) -> Result<Answer, Down> {
        let late = |_| Down(format!("no answer within {:?}", self.timeout));
        let asked = timeout(self.timeout, self.ask_now(name, question));
        asked.await.map_err(late)?
    }

    async fn ask_now(&self, name: UserName<'_>, question: Question<'_>) -> Result<Answer, Down> {
        if let (Users::Template(_), Question::Exists) = (&self.users, question) {
            return Ok(Answer::CannotTell);
        }
        let _permit = self.pool.permit().await?;
        // Servers close connections that were silent, or after a failed bind.
        while let Some(mut handle) = self.pool.take() {
            match self.ask_over(&mut handle, name, question).await {
                Err(Failed::Lost(error)) => tracing::debug!(%error, "connection to LDAP lost"),
                answered => return self.keep(handle, answered),
            }
        }
        let connected = LdapConnAsync::with_settings(self.settings.clone(), &self.url).await;
        let (connection, mut handle) =
            connected.map_err(|error| self.pool.failed(error.to_string()))?;
        // Ends when the handle is dropped.
        tokio::spawn(async move {
            if let Err(error) = connection.drive().await {
                tracing::debug!(%error, "connection to LDAP lost");
            }
        });
        let answered = self.ask_over(&mut handle, name, question).await;
        self.keep(handle, answered)
    }

    fn keep(&self, handle: Handle, answered: Result<Answer, Failed>) -> Result<Answer, Down> {
        match answered {
            Err(Failed::Lost(error)) => Err(Down(error.to_string())),
            Err(Failed::Answer(reason)) => {
                self.pool.put(handle);
                Err(Down(reason))
            }
            Ok(answer) => {
                self.pool.put(handle);
                Ok(answer)
            }
        }
    }

    /// Begins with a bind always, so that it does not matter as whom the connection was bound before.
    async fn ask_over(
        &self,
        handle: &mut Handle,
        name: UserName<'_>,
        question: Question<'_>,
    ) -> Result<Answer, Failed> {
        let (dn, called) = match &self.users {
            Users::Template(template) => {
                let dn = template.fill(name, |part| dn_escape(part).into_owned());
                (Some(dn), name.full.to_owned())
            }
            Users::Search { .. } => match self.search(handle, name).await? {
                Some((dn, called)) => (Some(dn), called),
                None => (None, name.full.to_owned()),
            },
        };
        let password = match question {
            Question::Exists if dn.is_some() => return Ok(Answer::Yes(called)),
            Question::Exists => return Ok(Answer::Unknown),
            Question::Password(password) | Question::Pretence(password) => password,
        };
        match (dn, question) {
            (Some(dn), Question::Password(_)) => {
                if bind_as_user(handle, &dn, password).await? {
                    return Ok(Answer::Yes(called));
                }
                // Whether there is such a user, a failed bind does not tell.
                Ok(match &self.users {
                    Users::Template(_) => Answer::Unknown,
                    Users::Search { .. } => Answer::Wrong,
                })
            }
            _ => {
                let nobody = match &self.users {
                    Users::Template(template) => {
                        template.fill(UserName::new(NOBODY), |part| dn_escape(part).into_owned())
                    }
                    Users::Search { base, .. } => format!("cn={NOBODY},{base}"),
                };
                bind_as_user(handle, &nobody, password).await?;
                Ok(Answer::Unknown)
            }
        }
    }

    /// The DN of a user, and what the user is called here.
    async fn search(
        &self,
        handle: &mut Handle,
        name: UserName<'_>,
    ) -> Result<Option<(String, String)>, Failed> {
        let Users::Search {
            base,
            filter,
            as_dn,
            attribute,
        } = &self.users
        else {
            return Ok(None);
        };
        let (dn, password) = match as_dn {
            Some((dn, password)) => (dn.as_str(), password.expose().as_str()),
            None => ("", ""),
        };
        let bound = handle.simple_bind(dn, password).await?;
        if bound.rc != SUCCESS {
            return Err(Failed::Answer(format!("bind as {dn:?}: {bound}")));
        }
        let filter = filter.fill(name, |part| ldap_escape(part).into_owned());
        // "1.1": no attributes (RFC 4511 §4.5.1.8).
        let wanted = [attribute.as_deref().unwrap_or("1.1")];
        let options = SearchOptions::new().sizelimit(2);
        let handle = handle.with_search_options(options);
        let search = handle.search(base, Scope::Subtree, &filter, wanted).await;
        let (entries, result) = match search {
            Ok(ldap3::SearchResult(entries, result)) => (entries, result),
            Err(LdapError::FilterParsing) => {
                return Err(Failed::Answer("the filter is none".to_owned()));
            }
            Err(error) => return Err(error.into()),
        };
        let several = || Failed::Answer("the filter finds several users".to_owned());
        match result.rc {
            SUCCESS => {}
            SIZE_LIMIT_EXCEEDED => return Err(several()),
            _ => return Err(Failed::Answer(format!("search: {result}"))),
        }
        let mut entries = entries
            .into_iter()
            .filter(|entry| !entry.is_ref() && !entry.is_intermediate())
            .map(SearchEntry::construct);
        let Some(entry) = entries.next() else {
            return Ok(None);
        };
        if entries.next().is_some() {
            return Err(several());
        }
        if entry.dn.is_empty() {
            return Err(Failed::Answer("the filter finds the root".to_owned()));
        }
        let called = match attribute {
            None => name.full.to_owned(),
            Some(attribute) => {
                let mut attributes = entry.attrs.iter();
                let values = attributes
                    .find(|(key, _)| key.eq_ignore_ascii_case(attribute))
                    .map(|(_, values)| values.as_slice());
                match values {
                    Some([value]) => canonical_user_name(value),
                    _ => {
                        let reason = format!("{} has not one {attribute}", entry.dn);
                        return Err(Failed::Answer(reason));
                    }
                }
            }
        };
        Ok(Some((entry.dn, called)))
    }
}

async fn bind_as_user(
    handle: &mut Handle,
    dn: &str,
    password: &Secret<String>,
) -> Result<bool, Failed> {
    // RFC 4513 §5.1.2: without a password it would succeed for everybody. Checked before, too.
    if password.expose().is_empty() || dn.is_empty() {
        return Ok(false);
    }
    let result = handle.simple_bind(dn, password.expose()).await?;
    match result.rc {
        SUCCESS => Ok(true),
        refused if REFUSALS.contains(&refused) => {
            tracing::debug!(dn, %result, "bind refused");
            Ok(false)
        }
        _ => Err(Failed::Answer(format!("bind as a user: {result}"))),
    }
}

/// Says what is wrong with a filter.
pub(crate) fn check_filter(filter: &str) -> Result<(), String> {
    let template = Template::parse(filter)?;
    let filled = template.fill(UserName::new("user@example.org"), str::to_owned);
    match ldap3::parse_filter(filled) {
        Ok(_) => Ok(()),
        Err(_) => Err("is no filter of LDAP (RFC 4515)".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4515 §3, RFC 4514 §2.4: whatever a name is, it stays one value.
    #[test]
    fn names_stay_values() {
        for (name, filter, dn) in [
            ("ada", "(uid=ada)", "uid=ada,dc=x"),
            ("*", "(uid=\\2a)", "uid=*,dc=x"),
            ("a)(b", "(uid=a\\29\\28b)", "uid=a)(b,dc=x"),
            ("a\\2a", "(uid=a\\5c2a)", "uid=a\\5c2a,dc=x"),
            ("a\0", "(uid=a\\00)", "uid=a\\00,dc=x"),
            ("a,dc=y", "(uid=a,dc=y)", "uid=a\\2cdc\\3dy,dc=x"),
            ("a+b=c", "(uid=a+b=c)", "uid=a\\2bb\\3dc,dc=x"),
            ("#a", "(uid=#a)", "uid=\\23a,dc=x"),
            (" a ", "(uid= a )", "uid=\\20a\\20,dc=x"),
            ("\"<;>\"", "(uid=\"<;>\")", "uid=\\22\\3c\\3b\\3e\\22,dc=x"),
            ("%d", "(uid=%d)", "uid=%d,dc=x"),
        ] {
            let fill = |text: &str, escape: fn(&str) -> String| {
                Template::parse(text)
                    .unwrap()
                    .fill(UserName::new(name), escape)
            };
            let filled = fill("(uid=%u)", |part| ldap_escape(part).into_owned());
            assert_eq!(filled, filter);
            assert!(ldap3::parse_filter(&filled).is_ok(), "{filled}");
            assert_eq!(fill("uid=%u,dc=x", |part| dn_escape(part).into_owned()), dn);
        }
    }

    #[test]
    fn filters() {
        assert!(check_filter("(&(objectClass=person)(|(uid=%n)(mail=%u)))").is_ok());
        for wrong in ["uid=%u)", "(uid=%u", "(&)(", "", "(uid=%x)"] {
            assert!(check_filter(wrong).is_err(), "{wrong}");
        }
    }
}
