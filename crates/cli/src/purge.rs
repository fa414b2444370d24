//! `restante purge`: delete messages at once, for good.

use clap::Args;
use restante_server::admin::{Reply, Request};
use restante_server::config::Size;
use restante_server::purge::Which;

use crate::Place;
use crate::admin::{block_on, call};
use crate::undelete::{ago, printable, ranges};

#[derive(Debug, Args)]
pub(crate) struct PurgeArgs {
    /// Whose mail
    #[arg(long, value_name = "NAME")]
    user: String,
    /// The messages with this Message-ID, in all mailboxes
    #[arg(long, value_name = "ID", conflicts_with_all = ["mailbox", "uid"])]
    message_id: Option<String>,
    /// The mailbox of the messages [default with --uid: INBOX]
    #[arg(long, value_name = "NAME", requires = "uid")]
    mailbox: Option<String>,
    /// The messages with these UIDs, also expunged ones: 5, 7:9 or several with commas
    #[arg(long, value_name = "SET")]
    uid: Option<String>,
    /// Why: it is kept, and shown by --list
    #[arg(long, value_name = "TEXT", requires = "yes")]
    reason: Option<String>,
    /// Do it; without this the messages are only shown
    #[arg(long, requires = "reason")]
    yes: bool,
    /// Show what was purged, when and why
    #[arg(long, conflicts_with_all = ["message_id", "mailbox", "uid", "reason", "yes"])]
    list: bool,
    #[command(flatten)]
    place: Place,
}

/// Runs the command.
pub(crate) fn run(args: &PurgeArgs) -> Result<(), String> {
    let user = args.user.clone();
    if args.list {
        return list(args, user);
    }
    let which = match (&args.message_id, &args.uid) {
        (Some(id), _) => Which::MessageId(id.clone()),
        (None, Some(set)) => Which::Uids {
            mailbox: args.mailbox.clone().unwrap_or_else(|| "INBOX".to_owned()),
            uids: ranges(set)?,
        },
        (None, None) => return Err("say which messages: --uid or --message-id".to_owned()),
    };
    let request = Request::Purge {
        user,
        which,
        reason: args.reason.clone(),
    };
    match block_on(call(&args.place, request))? {
        Reply::ToPurge { messages } if messages.is_empty() => {
            return Err("there is no such message".to_owned());
        }
        Reply::ToPurge { messages } => {
            for message in &messages {
                let places: Vec<_> = message
                    .places
                    .iter()
                    .map(|(name, uid)| format!("{name} UID {uid}"))
                    .collect();
                let places = match places.is_empty() {
                    true => "expunged".to_owned(),
                    false => places.join(", "),
                };
                let size = Size(message.size);
                println!("{size:>10}  {}  [{places}]", printable(&message.subject));
            }
            println!(
                "Nothing is purged yet. Purged messages cannot be brought back; with --yes and --reason it is done."
            );
        }
        Reply::Purged { emails: 0, .. } => return Err("there is no such message".to_owned()),
        Reply::Purged {
            emails,
            messages,
            bytes,
        } => {
            let places = if messages == 1 { "place" } else { "places" };
            let emails = match emails {
                1 => "1 message is".to_owned(),
                emails => format!("{emails} messages are"),
            };
            println!(
                "{emails} purged, {} in {messages} {places}. The journal of the index may have traces until the server is restarted; backups made before have the mail still.",
                Size(bytes)
            );
        }
        _ => return Err("an unexpected answer".to_owned()),
    }
    Ok(())
}

fn list(args: &PurgeArgs, user: String) -> Result<(), String> {
    let Reply::Tombstones { tombstones } =
        block_on(call(&args.place, Request::Tombstones { user }))?
    else {
        return Err("an unexpected answer".to_owned());
    };
    if tombstones.is_empty() {
        println!("Nothing was purged.");
        return Ok(());
    }
    println!("{:>16}  {:>10}  REASON", "PURGED", "SIZE");
    for tombstone in tombstones {
        let left = match tombstone.is_erased {
            true => "",
            false => " (not erased from the disk yet)",
        };
        println!(
            "{:>16}  {:>10}  {}{left}",
            ago(tombstone.purged_ms),
            Size(tombstone.size).to_string(),
            printable(&tombstone.reason)
        );
    }
    Ok(())
}
