//! `restante undelete`: bring back messages and mailboxes.

use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use restante_server::admin::{Reply, Request};
use restante_server::config::{Size, Span};

use crate::Place;
use crate::admin::{block_on, call};

#[derive(Debug, Args)]
pub(crate) struct UndeleteArgs {
    /// Whose mail
    #[arg(long, value_name = "NAME")]
    user: String,
    /// The mailbox whose messages shall come back [default with --uid and --since: INBOX]
    #[arg(long, value_name = "NAME")]
    mailbox: Option<String>,
    /// Only show what can be brought back
    #[arg(long)]
    list: bool,
    /// The messages with these UIDs: 5, 7:9 or several with commas
    #[arg(long, value_name = "SET")]
    uid: Option<String>,
    /// The messages expunged in this time: 30m, 2h, 7d
    #[arg(long, value_name = "TIME")]
    since: Option<Span>,
    /// The mailbox of this name, that was deleted as a whole
    #[arg(long, value_name = "NAME", conflicts_with_all = ["mailbox", "uid", "since"])]
    deleted_mailbox: Option<String>,
    /// Under another name than it had
    #[arg(long = "as", value_name = "NAME", requires = "deleted_mailbox")]
    rename: Option<String>,
    #[command(flatten)]
    place: Place,
}

/// Runs the command.
pub(crate) fn run(args: &UndeleteArgs) -> Result<(), String> {
    let user = args.user.clone();
    if args.list {
        return list(args, user);
    }
    let request = match &args.deleted_mailbox {
        Some(name) => Request::UndeleteMailbox {
            user,
            name: args.rename.clone().unwrap_or_else(|| name.clone()),
            was: name.clone(),
        },
        None if args.uid.is_none() && args.since.is_none() => {
            return Err("say what: --uid, --since or --deleted-mailbox; or --list".to_owned());
        }
        None => Request::Undelete {
            user,
            mailbox: args.mailbox.clone().unwrap_or_else(|| "INBOX".to_owned()),
            uids: args.uid.as_deref().map(ranges).transpose()?,
            since_ms: args.since.map(|span| now_ms() - span.0 as i64 * 1000),
        },
    };
    match block_on(call(&args.place, request))? {
        Reply::Restored { messages: 1 } => println!("1 message is back."),
        Reply::Restored { messages } => println!("{messages} messages are back."),
        _ => return Err("an unexpected answer".to_owned()),
    }
    Ok(())
}

fn list(args: &UndeleteArgs, user: String) -> Result<(), String> {
    let request = match &args.mailbox {
        Some(mailbox) => Request::Expunged {
            user,
            mailbox: mailbox.clone(),
        },
        None => Request::Deleted { user },
    };
    match block_on(call(&args.place, request))? {
        Reply::Expunged { messages } if messages.is_empty() => {
            println!("No expunged message is kept.");
        }
        Reply::Expunged { messages } => {
            println!("{:>10}  {:>16}  {:>10}  SUBJECT", "UID", "EXPUNGED", "SIZE");
            for message in messages {
                let subject = printable(&message.subject);
                let when = ago(message.expunged_ms);
                let size = Size(message.size).to_string();
                println!("{:>10}  {when:>16}  {size:>10}  {subject}", message.uid);
            }
        }
        Reply::Deleted { mailboxes } if mailboxes.is_empty() => {
            println!("No deleted mailbox is kept. With --mailbox: the expunged messages of one.");
        }
        Reply::Deleted { mailboxes } => {
            println!("{:>16}  {:>9}  MAILBOX", "DELETED", "MESSAGES");
            for mailbox in mailboxes {
                let when = ago(mailbox.deleted_ms);
                println!("{when:>16}  {:>9}  {}", mailbox.messages, mailbox.name);
            }
        }
        _ => return Err("an unexpected answer".to_owned()),
    }
    Ok(())
}

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| i64::try_from(now.as_millis()).unwrap_or(i64::MAX))
}

pub(crate) fn ago(then_ms: i64) -> String {
    let minutes = (now_ms() - then_ms).max(0) / 60_000;
    match minutes {
        0 => "just now".to_owned(),
        1..120 => format!("{minutes} min ago"),
        120..2880 => format!("{} hours ago", minutes / 60),
        _ => format!("{} days ago", minutes / 1440),
    }
}

/// Somebody's words, of which no control character may reach the terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

/// `5`, `7:9`, `1,4:6`.
pub(crate) fn ranges(set: &str) -> Result<Vec<(u32, u32)>, String> {
    let one = |text: &str| {
        let (first, last) = text.split_once(':').unwrap_or((text, text));
        Some((first.parse().ok()?, last.parse().ok()?))
    };
    let ranges: Option<Vec<_>> = set.split(',').map(one).collect();
    ranges.ok_or_else(|| format!("\"{set}\" is no set of UIDs, such as 5 or 7:9,12"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_of_uids() {
        assert_eq!(ranges("5").unwrap(), [(5, 5)]);
        assert_eq!(ranges("1,7:9").unwrap(), [(1, 1), (7, 9)]);
        for bad in ["", "a", "1:", "1:*", "1,,2"] {
            assert!(ranges(bad).is_err(), "{bad}");
        }
    }
}
