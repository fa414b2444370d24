//! `restante acl`.

use clap::{Args, Subcommand};
use restante_server::admin::{AclChange, AclLine, Reply, Request};

use crate::Place;
use crate::admin::{block_on, call};
use crate::undelete::printable;

#[derive(Debug, Subcommand)]
pub(crate) enum AclCommand {
    /// List what others may do with a user's mailboxes
    List {
        /// Whose mailboxes
        #[arg(long, value_name = "NAME")]
        user: String,
        #[command(flatten)]
        place: Place,
    },
    /// Change what somebody may do with a mailbox
    Set(SetArgs),
}

#[derive(Debug, Args)]
pub(crate) struct SetArgs {
    /// Whose mailbox
    #[arg(long, value_name = "NAME")]
    user: String,
    /// The mailbox
    #[arg(long, value_name = "MAILBOX")]
    mailbox: String,
    /// A user, $GROUP or anyone; with - before it, what is denied
    #[arg(value_name = "WHO", allow_hyphen_values = true)]
    identifier: String,
    /// l see it, r read it, s set \Seen, w other flags, i add messages, p post, k create below, x delete it,
    /// t delete messages, e expunge, a change rights; +RIGHTS these more, -RIGHTS these less, "" none
    #[arg(value_name = "RIGHTS", allow_hyphen_values = true)]
    rights: String,
    #[command(flatten)]
    place: Place,
}

/// `restante acl`.
pub(crate) fn run(command: &AclCommand) -> Result<(), String> {
    match command {
        AclCommand::List { user, place } => {
            let entries = ask(place, user, None)?;
            if entries.is_empty() {
                println!("{user} shares no mailbox.");
            }
            entries.iter().for_each(show);
            Ok(())
        }
        AclCommand::Set(args) => {
            let change = AclChange {
                mailbox: args.mailbox.clone(),
                identifier: args.identifier.clone(),
                rights: args.rights.clone(),
            };
            change.parse()?;
            let canonical = change.canonical()?;
            let entries = ask(&args.place, &args.user, Some(change))?;
            let mut set = entries.iter().filter(|line| line.identifier == canonical);
            if set.clone().next().is_none() {
                println!("{canonical} has no rights to mailboxes of {}.", args.user);
            }
            set.try_for_each(|line| {
                show(line);
                Ok(())
            })
        }
    }
}

fn ask(place: &Place, user: &str, change: Option<AclChange>) -> Result<Vec<AclLine>, String> {
    let request = Request::Acl {
        user: user.to_owned(),
        change,
    };
    match block_on(call(place, request))? {
        Reply::Acl { entries } => Ok(entries),
        _ => Err("an unexpected answer".to_owned()),
    }
}

fn show(line: &AclLine) {
    let (mailbox, identifier) = (printable(&line.mailbox), printable(&line.identifier));
    println!("{mailbox}  {identifier}  {}", line.rights);
}
