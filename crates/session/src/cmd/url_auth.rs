//! GENURLAUTH, RESETKEY and URLFETCH: URLs that let others read one message or part (RFC 4467).

use std::sync::Arc;

use restante_auth::url_token;
use restante_mailbox::{
    Account, AccountId, EmailRow, MailError, Mailbox, MailboxId, Rights, UidSet, UrlKey, Wanted,
    canonical_user_name,
};
use restante_proto::types::{Atom, Code, Fetch, MailboxName, UntaggedData, UrlFetch};

use super::fetch::{SectionOctets, push_text};
use super::url_items::{Items, extended};
use crate::convert;
use crate::cx::Cx;
use crate::env::{LoginError, Seat};
use crate::place::Place;
use crate::reply::{Failure, Outcome, Reply, client_bug};
use crate::state::{Login, Selected, State};
use crate::url::{Access, AuthUrl, MessageUrl, UrlFault};

/// More URLs than any client puts into one command.
const URLS_MAX: usize = 100;
/// What is no larger is read before anything of it is sent, so that a part that cannot be read is NIL.
const WHOLE_BYTES: u64 = 1 << 20;

const INTERNAL: &str = "INTERNAL";

/// GENURLAUTH (RFC 4467 §7).
pub(super) async fn generate(cx: &mut Cx, state: &State, urls: Vec<(Vec<u8>, Atom)>) -> Outcome {
    let login = state.login()?;
    refuse_anonymous(login)?;
    check_count(urls.len())?;
    let mut authorized = Vec::with_capacity(urls.len());
    for (url, mechanism) in urls {
        if !mechanism.as_str().eq_ignore_ascii_case(INTERNAL) {
            return Err(client_bug("There is no such mechanism for URLs"));
        }
        let parsed = AuthUrl::parse(&url).map_err(|fault| {
            client_bug(match fault {
                UrlFault::Malformed => "This is no URL that can be authorized",
                UrlFault::NoOwner => "The URL has no owner",
                UrlFault::NoAccess => "The URL has no access identifier",
                UrlFault::NoMessage => "The URL names no message",
            })
        })?;
        if parsed.authorization.is_some() {
            return Err(client_bug("The URL is authorized already"));
        }
        let own = canonical_user_name(&login.name);
        let mine = parsed
            .owners()
            .any(|name| canonical_user_name(&name) == own);
        let owner = match mine {
            true => owner(cx, login, &parsed).await?,
            false => None,
        };
        if owner.is_none_or(|owner| canonical_user_name(&owner.name) != own) {
            return Err(client_bug("The URL is not one of your own"));
        }
        let mailbox = mailbox_of(cx, login, &parsed.message).await?;
        let mailbox = mailbox.ok_or_else(|| client_bug("The URL names no mailbox"))?;
        let user = login.account.id();
        let key = cx.env.mail.url_key_or(user, &mailbox, fresh()?);
        let token = url_token::token(&key.await?.0, parsed.rump);
        let mut url = url;
        url.extend_from_slice(format!(":{INTERNAL}:{token}").as_bytes());
        authorized.push(url);
    }
    cx.data(&UntaggedData::GenUrlAuth(authorized));
    Ok(Reply::ok("GENURLAUTH completed"))
}

/// RESETKEY (RFC 4467 §7).
pub(super) async fn reset(
    cx: &mut Cx,
    state: &mut State,
    mailbox: Option<MailboxName>,
    mechanisms: &[Atom],
) -> Outcome {
    let login = state.login()?.clone();
    refuse_anonymous(&login)?;
    let account = login.account.id();
    let Some(name) = mailbox else {
        cx.env.mail.url_keys_remove(account).await?;
        return Ok(Reply::ok("All keys are removed"));
    };
    let internal = |mechanism: &Atom| mechanism.as_str().eq_ignore_ascii_case(INTERNAL);
    if !mechanisms.iter().all(internal) {
        return Ok(Reply::no("There is no such mechanism for URLs"));
    }
    let name = convert::mailbox_name(&name)?;
    let place = Place::of(&cx.env, &login, &name).await?;
    let (mailbox, _) = place.mailbox(Rights::READ).await?;
    let of = number(&mailbox);
    let mail = &cx.env.mail;
    let resets = mail.url_key_reset(account, &mailbox, fresh()?).await?;
    if let Ok((_, selected)) = state.selected()
        && selected.is(of.0, of.1)
    {
        // This session is told by the answer.
        selected.url_key_resets = resets;
    }
    Ok(Reply::ok("The key is replaced").code(mechanism_code()))
}

/// URLFETCH (RFC 4467 §7; RFC 5524): NIL for what is no authorized URL, whatever the reason.
pub(super) async fn fetch(cx: &mut Cx, state: &State, urls: &[UrlFetch]) -> Outcome {
    let login = state.login()?;
    check_count(urls.len())?;
    // All before the first octet of the response: from there on nothing can be refused.
    let mut parts = Vec::with_capacity(urls.len());
    for wanted in urls {
        let part = match open(cx, login, &wanted.url).await? {
            Some(part) if wanted.is_extended() => extended(part, wanted).await?.map(Given::Items),
            Some(part) => part.small().await?.map(Given::Plain),
            None => None,
        };
        parts.push(part);
    }
    cx.writer().raw(b"* URLFETCH");
    for (wanted, part) in urls.iter().zip(parts) {
        let mut writer = cx.writer();
        writer.raw(b" ");
        writer.astring(&wanted.url);
        writer.raw(b" ");
        match part {
            None => writer.nstring(None),
            Some(Given::Plain(part)) => part.tell(cx).await?,
            Some(Given::Items(items)) => items.tell(cx).await?,
        }
    }
    cx.line(format_args!(""));
    Ok(Reply::ok("URLFETCH completed"))
}

/// What is given for a URL.
enum Given {
    Plain(Part),
    Items(Items),
}

/// On SELECT: with what URLs to the mailbox are authorized, if any may be (RFC 4467 §8 URLMECH).
pub(super) async fn tell_mechanisms(
    cx: &mut Cx,
    login: &Login,
    mailbox: &Mailbox,
) -> Result<(), Failure> {
    let user = login.account.id();
    if cx.env.mail.has_url_key(user, mailbox).await? && !cx.hides("URLAUTH") {
        tell_mechanism(cx);
    }
    Ok(())
}

/// Tells a session that another one has replaced the key of its mailbox (RFC 4467 §7 RESETKEY).
pub(crate) fn tell_reset(cx: &mut Cx, login: &Login, selected: &mut Selected) {
    let resets = selected.mailbox.url_key_resets(login.account.id());
    if std::mem::replace(&mut selected.url_key_resets, resets) != resets && !cx.hides("URLAUTH") {
        tell_mechanism(cx);
    }
}

fn tell_mechanism(cx: &mut Cx) {
    cx.untagged_ok(mechanism_code(), "URLs can be authorized");
}

/// INTERNAL, and no others.
fn mechanism_code() -> Code {
    Code::UrlMech(Vec::new())
}

/// Part of a message, found by a URL.
pub(super) struct Part {
    pub(super) account: Arc<Account>,
    pub(super) email: Arc<EmailRow>,
    pub(super) octets: SectionOctets,
    /// The FETCH that would ask for it.
    pub(super) named: Fetch,
}

impl Part {
    /// The same, with its octets in memory if they are few. `None`: they cannot be read.
    pub(super) async fn small(mut self) -> Result<Option<Part>, Failure> {
        if let SectionOctets::Range(range) = &self.octets
            && range.end - range.start <= WHOLE_BYTES
        {
            match self.account.read(&self.email, range.clone()).await {
                Ok(bytes) => self.octets = SectionOctets::Text(bytes.to_vec()),
                Err(MailError::Damaged { .. } | MailError::Expunged) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Some(self))
    }

    /// Its octets as a string.
    pub(super) async fn tell(self, cx: &mut Cx) -> Result<(), Failure> {
        match self.octets {
            SectionOctets::Text(text) if text.is_empty() => cx.writer().raw(b"\"\""),
            SectionOctets::Text(text) => {
                cx.write(format_args!("{{{}}}\r\n", text.len()));
                push_text(cx.conn.out(), &text);
                cx.conn.flush_if_large().await?;
            }
            SectionOctets::Range(mut range) => {
                cx.write(format_args!("{{{}}}\r\n", range.end - range.start));
                while range.start < range.end {
                    let step = SectionOctets::step(&range);
                    // The length is said: what cannot be read now ends the connection.
                    let bytes = self.account.read(&self.email, step.clone()).await;
                    let bytes = bytes.map_err(|error| Failure::Io(std::io::Error::other(error)))?;
                    push_text(cx.conn.out(), &bytes);
                    cx.conn.flush_if_large().await?;
                    range.start = step.end;
                }
            }
        }
        Ok(())
    }
}

/// What an authorized URL names, if this session may use it (RFC 4467 §6).
pub(super) async fn open(cx: &mut Cx, login: &Login, url: &[u8]) -> Result<Option<Part>, Failure> {
    let Ok(url) = AuthUrl::parse(url) else {
        return Ok(None);
    };
    let Some((mechanism, token)) = url.authorization else {
        return Ok(None);
    };
    let owner = owner(cx, login, &url).await?;
    let (mut mailbox, mut key) = (None, None);
    if let Some(owner) = &owner {
        mailbox = mailbox_of(cx, owner, &url.message).await?;
        if let Some(mailbox) = &mailbox {
            let user = owner.account.id();
            key = cx.env.mail.url_key(user, number(mailbox)).await?;
        }
    }
    // Without a key one is made up: it takes the same time to find out (RFC 4467 §6).
    let known = key.is_some();
    let key = key.map_or_else(fresh, Ok)?;
    let authorized = url_token::is_token(&key.0, url.rump, token) && known;
    let now_s = login.account.now_ms().div_euclid(1000);
    let valid = authorized
        && mechanism.eq_ignore_ascii_case(INTERNAL)
        && url.expires_s.is_none_or(|last| now_s <= last)
        && may_use(cx, login, &url.access);
    match mailbox {
        Some(mailbox) if valid => part(&mailbox, &url.message).await,
        _ => Ok(None),
    }
}

/// The part of a message of a mailbox that a URL names.
pub(super) async fn part(
    mailbox: &Arc<Mailbox>,
    named: &MessageUrl,
) -> Result<Option<Part>, Failure> {
    let account = mailbox.account();
    let snapshot = mailbox.snapshot().await?;
    let valid = snapshot.uid_validity().get();
    if named.uid_validity.is_some_and(|asked| asked != valid) {
        return Ok(None);
    }
    let uids: UidSet = [named.uid].into_iter().collect();
    let loaded = mailbox.ensure(&snapshot, Wanted::Uids(&uids)).await?;
    let Some(row) = loaded.row(named.uid) else {
        return Ok(None);
    };
    let email = match account.email(row.email).await {
        Err(MailError::Expunged) => return Ok(None),
        email => email?,
    };
    let octets = SectionOctets::of(account, &email, &named.fetch).await?;
    Ok(octets.map(|octets| Part {
        account: account.clone(),
        email,
        octets,
        named: named.fetch.clone(),
    }))
}

/// A URL's owner, as if they had logged in: with what they may do it is looked at (RFC 4467 §7).
async fn owner(cx: &mut Cx, login: &Login, url: &AuthUrl<'_>) -> Result<Option<Login>, Failure> {
    for name in url.owners() {
        if canonical_user_name(&name) == canonical_user_name(&login.name) {
            return Ok(Some(login.clone()));
        }
        match cx.env.authenticator.identity(&name).await {
            Ok(identity) => {
                return Ok(Some(Login {
                    who: cx.env.sharing.who(&identity.name),
                    account: cx.env.mail.account(identity.account).await?,
                    name: identity.name.into(),
                    is_anonymous: false,
                    _seat: Seat::default(),
                }));
            }
            Err(LoginError::Unavailable(reason)) => {
                tracing::error!(peer = %cx.peer, reason, "the owner of a URL cannot be looked up");
                let text = "Users cannot be looked up now, try again later";
                return Err(Reply::no(text).code(Code::Unavailable).into());
            }
            Err(_) => {}
        }
    }
    Ok(None)
}

/// The mailbox that a URL names, if there is one that this user may read.
async fn mailbox_of(
    cx: &mut Cx,
    login: &Login,
    url: &MessageUrl,
) -> Result<Option<Arc<Mailbox>>, Failure> {
    let name = url
        .mailbox
        .as_ref()
        .and_then(|name| convert::mailbox_name(name).ok());
    let Some(name) = name else {
        return Ok(None);
    };
    let found = match Place::of(&cx.env, login, &name).await {
        Ok(place) => place.mailbox(Rights::READ).await,
        Err(failure) => Err(failure),
    };
    match found {
        Ok((mailbox, _)) => Ok(Some(Arc::clone(&mailbox))),
        Err(Failure::Mail(MailError::NoSuchMailbox) | Failure::Reply(_)) => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// What a mailbox is called in the table of keys.
fn number(mailbox: &Mailbox) -> (AccountId, MailboxId) {
    (mailbox.account().id(), mailbox.id())
}

/// Whether a URL is for this session (RFC 4467 §3).
fn may_use(cx: &Cx, login: &Login, access: &Access) -> bool {
    let own = canonical_user_name(&login.name);
    match access {
        Access::Anonymous => true,
        Access::AuthUser => !login.is_anonymous,
        Access::User(user) => !login.is_anonymous && canonical_user_name(user) == own,
        // Whom it is for is for the submission server to find out.
        Access::Submit(_) => {
            let mut submitters = cx.env.submission_users.iter();
            submitters.any(|user| canonical_user_name(user) == own)
        }
    }
}

fn refuse_anonymous(login: &Login) -> Result<(), Failure> {
    match login.is_anonymous {
        true => Err(Reply::no("Not for anonymous users")
            .code(Code::NoPerm)
            .into()),
        false => Ok(()),
    }
}

fn check_count(urls: usize) -> Result<(), Failure> {
    match urls > URLS_MAX {
        true => Err(Reply::bad("Too many URLs").code(Code::Limit).into()),
        false => Ok(()),
    }
}

fn fresh() -> Result<UrlKey, Failure> {
    let key = url_token::fresh_key().map(UrlKey);
    key.ok_or_else(|| Reply::no("Internal error").code(Code::ServerBug).into())
}
