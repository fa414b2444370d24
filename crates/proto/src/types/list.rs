//! LIST with its extensions (RFC 9051 §6.3.9, RFC 5258, RFC 6154, RFC 5819, RFC 8440, RFC 9590).

use super::mailbox_name::MailboxName;
use super::status::StatusItem;
use super::strings::Atom;

/// A LIST command.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct List {
    /// The selection options; `None` if there was no list of them.
    pub select: Option<ListSelect>,
    /// The reference name, in UTF-8.
    pub reference: String,
    /// The patterns; one in the basic form.
    pub patterns: Vec<ListPattern>,
    /// Whether the patterns stood in parentheses.
    pub pattern_list: bool,
    /// The return options; `None` if there was no RETURN.
    pub returns: Option<ListReturn>,
}

impl List {
    /// Whether this is an extended LIST (RFC 5258 §3): it has selection options, return options
    /// or a list of patterns.
    pub fn is_extended(&self) -> bool {
        self.select.is_some() || self.returns.is_some() || self.pattern_list
    }
}

/// A mailbox name with the wildcards `*` and `%`, in UTF-8.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ListPattern(pub String);

/// Selection options (RFC 5258 §3.1, RFC 6154 §5.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ListSelect {
    /// SUBSCRIBED
    pub subscribed: bool,
    /// REMOTE
    pub remote: bool,
    /// RECURSIVEMATCH; the decoder has checked that a base option is there.
    pub recursive_match: bool,
    /// SPECIAL-USE
    pub special_use: bool,
}

/// Return options (RFC 5258 §3.2).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ListReturn {
    /// SUBSCRIBED
    pub subscribed: bool,
    /// CHILDREN
    pub children: bool,
    /// SPECIAL-USE (RFC 6154 §5.2)
    pub special_use: bool,
    /// STATUS (RFC 5819); empty if not asked for.
    pub status: Vec<StatusItem>,
    /// MYRIGHTS (RFC 8440)
    pub my_rights: bool,
    /// METADATA (RFC 9590): the entries asked for.
    pub metadata: Vec<Vec<u8>>,
}

/// A special use of a mailbox (RFC 6154 §2, RFC 8457).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[allow(missing_docs)]
pub enum SpecialUse {
    All,
    Archive,
    Drafts,
    Flagged,
    Junk,
    Sent,
    Trash,
    Important,
    /// RFC 9979 §8.3
    Memos,
    /// RFC 9979 §8.2
    Scheduled,
    /// RFC 9979 §8.1
    Snoozed,
}

impl SpecialUse {
    /// Every special use.
    pub const ALL: [Self; 11] = [
        Self::All,
        Self::Archive,
        Self::Drafts,
        Self::Flagged,
        Self::Junk,
        Self::Sent,
        Self::Trash,
        Self::Important,
        Self::Memos,
        Self::Scheduled,
        Self::Snoozed,
    ];

    /// The attribute, with its backslash.
    pub const fn name(self) -> &'static str {
        match self {
            Self::All => "\\All",
            Self::Archive => "\\Archive",
            Self::Drafts => "\\Drafts",
            Self::Flagged => "\\Flagged",
            Self::Junk => "\\Junk",
            Self::Sent => "\\Sent",
            Self::Trash => "\\Trash",
            Self::Important => "\\Important",
            Self::Memos => "\\Memos",
            Self::Scheduled => "\\Scheduled",
            Self::Snoozed => "\\Snoozed",
        }
    }

    /// The special use of this name (with its backslash, in any case).
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|special_use| special_use.name().eq_ignore_ascii_case(name))
    }
}

/// A mailbox attribute of a LIST response (RFC 9051 §7.3.1).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs)]
pub enum ListAttribute {
    NonExistent,
    NoInferiors,
    NoSelect,
    HasChildren,
    HasNoChildren,
    Marked,
    Unmarked,
    Subscribed,
    Remote,
    /// `\NoAccess` (RFC 5465 §8)
    NoAccess,
    SpecialUse(SpecialUse),
    /// Another one; the backslash is not part of the atom.
    Other(Atom),
}

impl ListAttribute {
    const PLAIN: [(Self, &'static str); 10] = [
        (Self::NonExistent, "\\NonExistent"),
        (Self::NoInferiors, "\\Noinferiors"),
        (Self::NoSelect, "\\Noselect"),
        (Self::HasChildren, "\\HasChildren"),
        (Self::HasNoChildren, "\\HasNoChildren"),
        (Self::Marked, "\\Marked"),
        (Self::Unmarked, "\\Unmarked"),
        (Self::Subscribed, "\\Subscribed"),
        (Self::Remote, "\\Remote"),
        (Self::NoAccess, "\\NoAccess"),
    ];

    /// The attribute for its text, with its backslash; `None` if it is no attribute.
    pub fn new(text: &str) -> Option<Self> {
        if let Some((attribute, _)) = Self::PLAIN
            .iter()
            .find(|(_, name)| name.eq_ignore_ascii_case(text))
        {
            return Some(attribute.clone());
        }
        if let Some(special_use) = SpecialUse::from_name(text) {
            return Some(Self::SpecialUse(special_use));
        }
        Atom::new(text.strip_prefix('\\')?).map(Self::Other)
    }

    /// Appends the attribute as it is sent.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::SpecialUse(special_use) => out.extend_from_slice(special_use.name().as_bytes()),
            Self::Other(atom) => {
                out.push(b'\\');
                out.extend_from_slice(atom.as_str().as_bytes());
            }
            // What nearly every line has.
            Self::HasNoChildren => out.extend_from_slice(b"\\HasNoChildren"),
            plain => {
                let name = Self::PLAIN.iter().find(|(attribute, _)| attribute == plain);
                out.extend_from_slice(name.map_or("", |(_, name)| name).as_bytes());
            }
        }
    }
}

/// A LIST or LSUB response (RFC 9051 §7.3.1).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListEntry {
    /// The attributes.
    pub attributes: Vec<ListAttribute>,
    /// The hierarchy separator; `None` is NIL: a flat name.
    pub separator: Option<char>,
    /// The name.
    pub mailbox: MailboxName,
    /// The extended data items.
    pub extended: Vec<ListExtended>,
}

/// An extended data item of a LIST response.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ListExtended {
    /// CHILDINFO (RFC 5258 §3.5): which selection options matched below.
    ChildInfo(Vec<ChildInfo>),
    /// OLDNAME (RFC 9051 §7.3.1): the name it had before.
    OldName(MailboxName),
    /// Something else: its tag, and its value as the bytes on the wire.
    Other(Vec<u8>, Vec<u8>),
}

/// A selection option in CHILDINFO.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum ChildInfo {
    /// SUBSCRIBED
    Subscribed,
    /// SPECIAL-USE
    SpecialUse,
    /// Another option.
    Other(String),
}
