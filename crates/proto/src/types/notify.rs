//! NOTIFY (RFC 5465).

use super::fetch::FetchAttribute;
use super::mailbox_name::MailboxName;
use super::strings::Atom;

/// The NOTIFY command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Notify {
    /// NOTIFY NONE
    None,
    /// NOTIFY SET
    Set {
        /// STATUS: tell the state of every other mailbox first.
        status: bool,
        /// What to tell about what; at least one group.
        groups: Vec<EventGroup>,
    },
}

/// The events wanted of some mailboxes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EventGroup {
    /// Which mailboxes.
    pub mailboxes: MailboxFilter,
    /// Which events.
    pub events: NotifyEvents,
}

/// A choice of mailboxes (RFC 5465 §6, RFC 7377 §4).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MailboxFilter {
    /// selected
    Selected,
    /// selected-delayed
    SelectedDelayed,
    /// inboxes
    Inboxes,
    /// personal
    Personal,
    /// subscribed
    Subscribed,
    /// subtree
    Subtree(Vec<MailboxName>),
    /// subtree-one (RFC 7377): one level
    SubtreeOne(Vec<MailboxName>),
    /// mailboxes
    Mailboxes(Vec<MailboxName>),
}

/// The events of a group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NotifyEvents {
    /// NONE
    None,
    /// These; at least one.
    Events(Vec<Event>),
}

/// An event as a client asks for it (RFC 5465 §5).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// MessageNew, with what to fetch of the message
    MessageNew(MessageNew),
    /// Another known event
    Named(EventName),
    /// An event that this library does not know
    Other(Atom),
}

/// What to fetch of a new message; may be empty.
pub type MessageNew = Vec<FetchAttribute>;

/// The name of an event.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs)]
pub enum EventName {
    MessageNew,
    MessageExpunge,
    FlagChange,
    AnnotationChange,
    MailboxName,
    SubscriptionChange,
    MailboxMetadataChange,
    ServerMetadataChange,
}

impl EventName {
    /// Every event.
    pub const ALL: [Self; 8] = [
        Self::MessageNew,
        Self::MessageExpunge,
        Self::FlagChange,
        Self::AnnotationChange,
        Self::MailboxName,
        Self::SubscriptionChange,
        Self::MailboxMetadataChange,
        Self::ServerMetadataChange,
    ];

    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::MessageNew => "MessageNew",
            Self::MessageExpunge => "MessageExpunge",
            Self::FlagChange => "FlagChange",
            Self::AnnotationChange => "AnnotationChange",
            Self::MailboxName => "MailboxName",
            Self::SubscriptionChange => "SubscriptionChange",
            Self::MailboxMetadataChange => "MailboxMetadataChange",
            Self::ServerMetadataChange => "ServerMetadataChange",
        }
    }
}
