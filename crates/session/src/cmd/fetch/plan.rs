//! What a FETCH asks for, sorted by what has to be read for it.

use restante_message::{FieldNames, SectionText as Text};
use restante_proto::encode::write_section;
use restante_proto::types::{Fetch, FetchAttribute, Partial, SectionPart, SectionText};

/// One data item of the answer.
#[derive(Debug)]
pub(super) enum Item {
    /// From the mailbox's row.
    Row(RowItem),
    /// From the email's row.
    Email(EmailItem),
    /// Octets of the message.
    Octets(Octets),
    /// Octets of the message after decoding.
    Binary(Binary),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RowItem {
    Flags,
    Uid,
    InternalDate,
    Size,
    ModSeq,
    EmailId,
    SaveDate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EmailItem {
    Envelope,
    Body,
    BodyStructure,
    ThreadId,
    Preview,
}

/// `BODY[…]`, or one of the names that RFC 3501 §6.4.5 has besides.
#[derive(Debug)]
pub(super) struct Octets {
    pub(super) name: Name,
    pub(super) path: Vec<u32>,
    pub(super) text: Text,
    pub(super) partial: Option<Partial>,
    /// Of HEADER.FIELDS: the names, and whether all others are meant.
    pub(super) fields: Option<(FieldNames, bool)>,
}

/// What the item is called in the answer.
#[derive(Debug)]
pub(super) enum Name {
    /// As it is written into each answer.
    Section(Vec<u8>),
    Rfc822(&'static str),
}

/// `BINARY[…]` or `BINARY.SIZE[…]` (RFC 3516 §4.2).
#[derive(Debug)]
pub(super) struct Binary {
    pub(super) part: SectionPart,
    pub(super) path: Vec<u32>,
    pub(super) partial: Option<Partial>,
    pub(super) size_only: bool,
}

/// A FETCH as it will be done.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) items: Vec<Item>,
    /// A CONDSTORE enabling command (RFC 7162 §3.1).
    pub(super) condstore: bool,
    /// Sets `\Seen` (RFC 9051 §6.4.5).
    pub(super) sets_seen: bool,
    /// Needs something of the emails.
    pub(super) needs_emails: bool,
    /// Needs their rows: not only octets of whole messages, of which it is enough to know where they lie.
    pub(super) needs_rows: bool,
    /// Needs octets of the messages.
    pub(super) needs_octets: bool,
}

impl Plan {
    /// `uid_only`: the response begins with the UID anyway (RFC 9586 §3.3).
    pub(super) fn new(args: &Fetch, uid_only: bool) -> Plan {
        let mut plan = Plan {
            items: Vec::with_capacity(args.attributes.len() + 2),
            condstore: args.modifiers.changed_since.is_some(),
            sets_seen: false,
            needs_emails: false,
            needs_rows: false,
            needs_octets: false,
        };
        if args.set.is_uid() && !uid_only {
            // RFC 9051 §6.4.9: the UID is always in the answer.
            plan.row(RowItem::Uid);
        }
        for attribute in &args.attributes {
            plan.add(attribute);
        }
        if args.modifiers.changed_since.is_some() {
            // RFC 7162 §3.1.4.1
            plan.row(RowItem::ModSeq);
        }
        plan
    }

    /// Whether the answer has this item.
    pub(super) fn has(&self, item: RowItem) -> bool {
        let is = |have: &Item| matches!(have, Item::Row(have) if *have == item);
        // Told once each, so there are few before the first octets.
        self.items.iter().any(is)
    }

    fn add(&mut self, attribute: &FetchAttribute) {
        match attribute {
            FetchAttribute::Flags => self.row(RowItem::Flags),
            FetchAttribute::Uid => self.row(RowItem::Uid),
            FetchAttribute::InternalDate => self.row(RowItem::InternalDate),
            FetchAttribute::Rfc822Size => self.row(RowItem::Size),
            FetchAttribute::ModSeq => {
                self.condstore = true;
                self.row(RowItem::ModSeq);
            }
            FetchAttribute::EmailId => self.row(RowItem::EmailId),
            FetchAttribute::SaveDate => self.row(RowItem::SaveDate),
            FetchAttribute::Envelope => self.email(EmailItem::Envelope),
            FetchAttribute::Body => self.email(EmailItem::Body),
            FetchAttribute::BodyStructure => self.email(EmailItem::BodyStructure),
            FetchAttribute::ThreadId => self.email(EmailItem::ThreadId),
            FetchAttribute::Preview { .. } => self.email(EmailItem::Preview),
            FetchAttribute::Rfc822 => self.rfc822("RFC822", Text::Whole, true),
            // RFC 1730 §6.4.5: the answer is named as if RFC822 had been asked for.
            FetchAttribute::Rfc822Peek => self.rfc822("RFC822", Text::Whole, false),
            FetchAttribute::Rfc822Header => self.rfc822("RFC822.HEADER", Text::Header, false),
            FetchAttribute::Rfc822Text => self.rfc822("RFC822.TEXT", Text::Text, true),
            FetchAttribute::Section {
                section,
                partial,
                peek,
            } => {
                let text = match &section.text {
                    None => Text::Whole,
                    Some(SectionText::Header | SectionText::HeaderFields { .. }) => Text::Header,
                    Some(SectionText::Text) => Text::Text,
                    Some(SectionText::Mime) => Text::Mime,
                };
                let fields = match &section.text {
                    Some(SectionText::HeaderFields { names, not }) => {
                        let names = names.iter().map(Vec::as_slice);
                        Some((FieldNames::new(names), *not))
                    }
                    _ => None,
                };
                let mut name = Vec::new();
                write_section(&mut name, section);
                let octets = Octets {
                    path: path(&section.part),
                    name: Name::Section(name),
                    text,
                    partial: *partial,
                    fields,
                };
                self.octets(Item::Octets(octets), !peek);
            }
            FetchAttribute::Binary {
                part,
                partial,
                peek,
            } => self.binary(part, *partial, false, !peek),
            FetchAttribute::BinarySize(part) => self.binary(part, None, true, false),
        }
    }

    /// Told once, however often it is asked for.
    fn row(&mut self, item: RowItem) {
        if !self.has(item) {
            self.items.push(Item::Row(item));
        }
    }

    fn email(&mut self, item: EmailItem) {
        let is = |have: &Item| matches!(have, Item::Email(have) if *have == item);
        if !self.items.iter().any(is) {
            self.needs_emails = true;
            self.needs_rows = true;
            self.items.push(Item::Email(item));
        }
    }

    fn rfc822(&mut self, name: &'static str, text: Text, seen: bool) {
        let octets = Octets {
            name: Name::Rfc822(name),
            path: Vec::new(),
            text,
            partial: None,
            fields: None,
        };
        self.octets(Item::Octets(octets), seen);
    }

    fn binary(
        &mut self,
        part: &SectionPart,
        partial: Option<Partial>,
        size_only: bool,
        seen: bool,
    ) {
        let binary = Binary {
            part: part.clone(),
            path: path(part),
            partial,
            size_only,
        };
        self.octets(Item::Binary(binary), seen);
    }

    fn octets(&mut self, item: Item, seen: bool) {
        self.needs_emails = true;
        self.needs_rows |= match &item {
            Item::Octets(octets) => !octets.path.is_empty(),
            _ => true,
        };
        self.needs_octets = true;
        self.sets_seen |= seen;
        self.items.push(item);
    }
}

fn path(part: &SectionPart) -> Vec<u32> {
    part.iter().map(|number| number.get()).collect()
}
