//! From an address to a mailbox, and a message into it.

use std::sync::Arc;

use restante_mailbox::{
    Account, Append, DateTime, EmailDraft, FlagNames, MailError, MailboxName, Quota,
};

use super::address::Address;
use super::{ClientAddress, Env, reply};
use crate::sources::Recipient as Found;
use crate::time::{header_date, unix_now};

/// A recipient that was accepted.
#[derive(Debug, Clone)]
pub(super) struct Recipient {
    /// As the client wrote it, for replies and `Delivered-To`.
    pub(super) address: String,
    pub(super) user: String,
    pub(super) account: Arc<Account>,
    /// What followed `+`.
    pub(super) detail: Option<String>,
}

/// Where a message comes from, for its trace header fields.
#[derive(Debug, Clone)]
pub(super) struct Trace {
    /// The envelope sender; empty for the null path.
    pub(super) from: String,
    /// What the client called itself.
    pub(super) client_name: String,
    pub(super) client: ClientAddress,
    /// With which protocol it comes: LMTP, or UTF8LMTP (RFC 6531 §3.7.3).
    pub(super) protocol: &'static str,
}

impl Trace {
    /// What the client called itself, as far as it can be a name in `Received`.
    fn plain_name(&self) -> String {
        let in_name = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
        let plain = |c| if in_name(c) { c } else { '?' };
        self.client_name.chars().map(plain).collect()
    }
}

/// The recipient an address stands for, who gets an account if there is none yet.
pub(super) async fn recipient(env: &Env, address: &Address) -> Result<Recipient, MailError> {
    let (found, detail) = find(env, address).await?;
    let user = found.user(&env.mail).await?;
    let account = env.mail.account(user.account).await?;
    Ok(Recipient {
        address: address.text.clone(),
        user: user.name,
        account,
        detail,
    })
}

/// Finds the user an address stands for: the whole address, the address without its detail, and, if
/// the domain is ours or missing, the local part with and without detail.
pub(super) async fn find(
    env: &Env,
    address: &Address,
) -> Result<(Found, Option<String>), MailError> {
    let (base, detail) = address.split_detail();
    let mut tries = Vec::with_capacity(4);
    if let Some(domain) = &address.domain {
        tries.push((format!("{}@{domain}", address.local), None));
        if detail.is_some() {
            tries.push((format!("{base}@{domain}"), detail));
        }
    }
    let local = match &address.domain {
        Some(domain) => env.local_domains.iter().any(|known| known == domain),
        None => true,
    };
    if local {
        tries.push((address.local.clone(), None));
        if detail.is_some() {
            tries.push((base.to_owned(), detail));
        }
    }
    for (name, detail) in tries {
        let found = match &env.sources {
            Some(sources) => sources.recipient(&name).await?,
            None => env.mail.user(&name).await?.map(Found::User),
        };
        if let Some(found) = found {
            return Ok((found, detail.map(str::to_owned)));
        }
    }
    Err(MailError::NoSuchUser)
}

/// Refuses early what cannot fit: a mailbox that is full, or a message announced too large for it.
pub(super) async fn check_quota(
    account: &Account,
    announced: Option<u64>,
) -> Result<(), MailError> {
    // What others have reserved may yet come to nothing.
    let quota = Quota {
        reserved_bytes: 0,
        reserved_messages: 0,
        ..account.quota().await
    };
    quota.admits(announced.unwrap_or(0).max(1), 1)
}

/// The header fields that are put before a message: where bounces go, for whom this copy is, and
/// how it came (RFC 5321 §4.4).
pub(super) fn trace_header(env: &Env, trace: &Trace, recipient: &Recipient) -> String {
    let client = match trace.client {
        Some(address) if address.is_loopback() => String::new(),
        Some(address) if address.is_ipv6() => format!(" ([IPv6:{address}])"),
        Some(address) => format!(" ([{address}])"),
        None => String::new(),
    };
    format!(
        "Return-Path: <{from}>\r\n\
         Delivered-To: {to}\r\n\
         Received: from {name}{client}\r\n\
         \tby {host} (Restante) with {protocol}\r\n\
         \tfor <{to}>; {date}\r\n",
        from = trace.from,
        to = recipient.address,
        name = trace.plain_name(),
        host = env.hostname,
        protocol = trace.protocol,
        date = header_date(unix_now()),
    )
}

/// Begins a recipient's copy with its trace header.
pub(super) async fn begin(
    env: &Env,
    trace: &Trace,
    recipient: &Recipient,
) -> Result<EmailDraft, MailError> {
    let mut draft = recipient.account.new_email();
    draft
        .write(trace_header(env, trace, recipient).as_bytes())
        .await?;
    Ok(draft)
}

/// Puts a message into the recipient's mailbox. When this returns `Ok`, it is durable.
pub(super) async fn save(recipient: &Recipient, draft: EmailDraft) -> Result<(), MailError> {
    let account = &recipient.account;
    // Held until the message counts as used.
    let _reserved = account.reserve(draft.bytes(), 1)?;
    let append = Append {
        email: draft.finish().await?,
        flags: FlagNames::default(),
        internal_date: DateTime::utc(unix_now()),
    };
    let name = detail_mailbox(recipient)
        .await?
        .unwrap_or_else(MailboxName::inbox);
    let mailbox = account.mailbox(&name).await?;
    mailbox.append(vec![append]).await.map(drop)
}

/// The mailbox named by the detail, if there is one: by its exact name, otherwise in any case (MTAs
/// like to write addresses in lower case), if that is only one.
async fn detail_mailbox(recipient: &Recipient) -> Result<Option<MailboxName>, MailError> {
    let Some(detail) = &recipient.detail else {
        return Ok(None);
    };
    let tree = recipient.account.tree().await?;
    if let Ok(name) = MailboxName::new(detail)
        && tree.get(&name).is_some()
    {
        return Ok(Some(name));
    }
    let lower = detail.to_lowercase();
    let mut alike = tree
        .mailboxes
        .keys()
        .filter(|name| name.as_str().to_lowercase() == lower);
    Ok(match (alike.next(), alike.next()) {
        (Some(name), None) => Some(name.clone()),
        _ => None,
    })
}

/// Logs what became of a recipient's copy.
pub(super) fn log(
    trace: &Trace,
    recipient: &Recipient,
    bytes: u64,
    started: std::time::Instant,
    outcome: &Result<(), MailError>,
) {
    let ms = started.elapsed().as_millis() as u64;
    let (to, user, from) = (&recipient.address, &recipient.user, &trace.from);
    match outcome {
        Ok(()) => tracing::info!(%to, %user, %from, bytes, ms, "delivered"),
        Err(error) => {
            let code = reply::of_error(error).code;
            tracing::warn!(%to, %user, %from, bytes, ms, code, %error, "not delivered");
        }
    }
}
