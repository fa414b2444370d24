//! NOTIFY (RFC 5465 §3.1).

use std::collections::BTreeSet;

use restante_mailbox::MailboxName;
use restante_proto::types::{
    self as wire, Code, EventGroup, EventName, MailboxFilter, NotifyEvent, NotifyEvents,
};

use crate::convert;
use crate::cx::Cx;
use crate::notify::{Events, Filter, Group, Notify, SelectedEvents};
use crate::reply::{Failure, Outcome, Reply, client_bug};
use crate::state::State;
use crate::sync;

/// More names and groups than any client has use for.
const NAMES_MAX: usize = 1000;

/// Every event but AnnotationChange: there is no ANNOTATE.
const SUPPORTED: [EventName; 7] = [
    EventName::MessageNew,
    EventName::MessageExpunge,
    EventName::FlagChange,
    EventName::MailboxName,
    EventName::SubscriptionChange,
    EventName::MailboxMetadataChange,
    EventName::ServerMetadataChange,
];

pub(crate) async fn run(cx: &mut Cx, state: &mut State, args: wire::Notify) -> Outcome {
    let (status, groups) = match args {
        wire::Notify::None => {
            cx.notify = Some(Box::new(Notify::none()));
            return Ok(Reply::ok("NOTIFY completed"));
        }
        wire::Notify::Set { status, groups } => (status, groups),
    };
    let (selected, groups) = compile(groups, &supported(cx))?;
    let notify = Notify::set(&cx.env, state.login()?, selected, groups).await?;
    let Some(mut notify) = notify else {
        return Err(too_much());
    };
    // What has gathered is told, whatever the client wants from now on (RFC 5465 §3.1).
    cx.notify = None;
    sync::sync(cx, state, true).await?;
    if let Ok((_, selected)) = state.selected() {
        selected.fetched_to = selected.view.snapshot().uid_next();
    }
    notify.tell_unreadable(cx).await?;
    if status {
        notify.tell_status(cx, state).await?;
    }
    cx.notify = Some(Box::new(notify));
    Ok(Reply::ok("NOTIFY completed"))
}

fn too_much() -> Failure {
    Reply::no("Too many mailboxes")
        .code(Code::NotificationOverflow)
        .into()
}

/// What can be asked for here: annotations have no events where they are switched off.
fn supported(cx: &Cx) -> Vec<EventName> {
    let needed = |event: &EventName| match event {
        EventName::MailboxMetadataChange => Some("METADATA"),
        EventName::ServerMetadataChange => Some("METADATA-SERVER"),
        _ => None,
    };
    let here = |event: &EventName| needed(event).is_none_or(|word| !cx.hides(word));
    SUPPORTED.into_iter().filter(here).collect()
}

/// Checks what is asked for (RFC 5465 §3.1, §5, §6.1, §8).
fn compile(
    groups: Vec<EventGroup>,
    supported: &[EventName],
) -> Result<(SelectedEvents, Vec<Group>), Failure> {
    if groups.len() > NAMES_MAX {
        return Err(too_much());
    }
    // A NO even where the same command would deserve a BAD.
    let unsupported = |event: &NotifyEvent| match event {
        NotifyEvent::MessageNew(_) => false,
        NotifyEvent::Named(name) => !supported.contains(name),
        NotifyEvent::Other(_) => true,
    };
    let mut asked = groups.iter().flat_map(|group| match &group.events {
        NotifyEvents::None => &[],
        NotifyEvents::Events(events) => events.as_slice(),
    });
    if asked.any(unsupported) {
        let reply = Reply::no("There is no such event here");
        return Err(reply.code(Code::BadEvent(supported.to_vec())).into());
    }
    let mut selected = None;
    let mut compiled = Vec::new();
    let mut names = 0;
    for EventGroup { mailboxes, events } in groups {
        let (events, fetch) = set_of(events)?;
        let filter = match mailboxes {
            MailboxFilter::Selected | MailboxFilter::SelectedDelayed => {
                if selected.is_some() {
                    return Err(client_bug("The selected mailbox is named twice"));
                }
                if events.beyond(Events::MESSAGE) {
                    return Err(client_bug("The selected mailbox has message events only"));
                }
                selected = Some(SelectedEvents {
                    messages: events.has(EventName::MessageNew),
                    flags: events.has(EventName::FlagChange),
                    delayed: mailboxes == MailboxFilter::SelectedDelayed,
                    fetch: fetch.into(),
                });
                continue;
            }
            MailboxFilter::Inboxes | MailboxFilter::Personal => Filter::Personal,
            MailboxFilter::Subscribed => Filter::Subscribed,
            MailboxFilter::Subtree(list) => Filter::Subtree(canonical(&list, &mut names)?),
            MailboxFilter::SubtreeOne(list) => Filter::SubtreeOne(canonical(&list, &mut names)?),
            MailboxFilter::Mailboxes(list) => Filter::Mailboxes(canonical(&list, &mut names)?),
        };
        if !fetch.is_empty() {
            return Err(client_bug(
                "Only new messages of the selected mailbox are fetched",
            ));
        }
        compiled.push(Group { filter, events });
    }
    Ok((selected.unwrap_or_else(SelectedEvents::none), compiled))
}

/// The names as mailboxes have them. What cannot be a name is ignored, as one that does not exist.
pub(super) fn canonical(
    list: &[wire::MailboxName],
    names: &mut usize,
) -> Result<BTreeSet<MailboxName>, Failure> {
    *names += list.len();
    if *names > NAMES_MAX {
        return Err(too_much());
    }
    let list = list.iter();
    Ok(list
        .filter_map(|name| convert::mailbox_name(name).ok())
        .collect())
}

/// The events of a group, and what to fetch of new messages.
fn set_of(events: NotifyEvents) -> Result<(Events, Vec<wire::FetchAttribute>), Failure> {
    let mut set = Events::NONE;
    let mut fetch = Vec::new();
    if let NotifyEvents::Events(events) = events {
        for event in events {
            match event {
                NotifyEvent::MessageNew(attributes) => {
                    set = set.and(Events::of(EventName::MessageNew));
                    fetch = attributes;
                }
                NotifyEvent::Named(name) => set = set.and(Events::of(name)),
                NotifyEvent::Other(_) => {}
            }
        }
    }
    if set.has(EventName::MessageNew) != set.has(EventName::MessageExpunge) {
        return Err(client_bug("MessageNew and MessageExpunge go together"));
    }
    if set.has(EventName::FlagChange) && !set.has(EventName::MessageNew) {
        return Err(client_bug("FlagChange needs MessageNew and MessageExpunge"));
    }
    Ok((set, fetch))
}
