//! Matching mailbox names against the patterns of LIST (RFC 9051 §6.3.9).

use restante_mailbox::MailboxName;

/// A pattern, prepared: what is not a wildcard, and between that `*` (anything) or `%` (anything but
/// the separator).
#[derive(Debug)]
pub(crate) struct Pattern {
    /// What comes before the first wildcard: it is compared at once, which decides most names.
    head: String,
    /// From the first wildcard on.
    items: Vec<Item>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Item {
    Char(char),
    /// `%`
    Level,
    /// `*`
    All,
}

impl Pattern {
    /// The pattern of a reference and a mailbox name, which are simply joined, in the normal form that
    /// names have here.
    pub(crate) fn new(reference: &str, pattern: &str) -> Pattern {
        let reference = MailboxName::compose(reference);
        let pattern = MailboxName::compose(pattern);
        let mut head = String::new();
        let mut items: Vec<Item> = Vec::new();
        for c in reference
            .chars()
            .map(Item::Char)
            .chain(pattern.chars().map(|c| match c {
                '*' => Item::All,
                '%' => Item::Level,
                c => Item::Char(c),
            }))
        {
            match (items.last(), c) {
                // A run of wildcards is the widest of them.
                (Some(Item::All), Item::All | Item::Level) | (Some(Item::Level), Item::Level) => {}
                (Some(Item::Level), Item::All) => *items.last_mut().unwrap_or(&mut Item::All) = c,
                (None, Item::Char(c)) => head.push(c),
                _ => items.push(c),
            }
        }
        Pattern { head, items }
    }

    /// Whether a name can match that is `prefix`, or begins with it and a separator, or is above it.
    pub(crate) fn may_match_at(&self, prefix: &str) -> bool {
        let head = self.head.chars();
        head.zip(prefix.chars()).all(|(wanted, c)| wanted == c)
    }

    /// Whether the whole name matches. The time is that of name times pattern, whatever they are.
    ///
    /// The first component of `INBOX` and what is below it is compared without regard to case
    /// (RFC 9051 §5.1).
    pub(crate) fn matches(&self, name: &str) -> bool {
        let any_case = match name.strip_prefix("INBOX") {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => 5,
            _ => 0,
        };
        let head = self.head.as_bytes();
        let Some((start, _)) = name.as_bytes().split_at_checked(head.len()) else {
            return false;
        };
        let of_inbox = any_case.min(head.len());
        if !start[..of_inbox].eq_ignore_ascii_case(&head[..of_inbox])
            || start[of_inbox..] != head[of_inbox..]
        {
            return false;
        }
        // Both are the same characters up to here, so this is where one begins.
        let name = &name[head.len()..];
        let any_case = any_case - of_inbox;
        let items = &self.items[..];
        match items {
            [] => return name.is_empty(),
            [Item::All] => return true,
            [Item::Level] => return !name.contains('/'),
            _ => {}
        }
        if items
            .iter()
            .filter(|item| matches!(item, Item::Char(_)))
            .count()
            > name.len()
        {
            return false;
        }
        // All positions in the pattern that what was read of the name can have come to.
        let mut at = vec![false; items.len() + 1];
        let mut next = vec![false; items.len() + 1];
        at[0] = true;
        skip_wildcards(items, &mut at);
        for (index, c) in name.chars().enumerate() {
            next.fill(false);
            let mut alive = false;
            for (position, item) in items.iter().enumerate().filter(|(p, _)| at[*p]) {
                let (to, takes) = match item {
                    Item::All => (position, true),
                    Item::Level => (position, c != '/'),
                    Item::Char(wanted) if index < any_case => {
                        (position + 1, wanted.eq_ignore_ascii_case(&c))
                    }
                    Item::Char(wanted) => (position + 1, *wanted == c),
                };
                if takes {
                    next[to] = true;
                    alive = true;
                }
            }
            if !alive {
                return false;
            }
            std::mem::swap(&mut at, &mut next);
            skip_wildcards(items, &mut at);
        }
        at[items.len()]
    }
}

/// A wildcard may also match nothing.
fn skip_wildcards(items: &[Item], at: &mut [bool]) {
    for (position, item) in items.iter().enumerate() {
        if at[position] && !matches!(item, Item::Char(_)) {
            at[position + 1] = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards() {
        for (reference, pattern, name, expected) in [
            ("", "*", "a/b/c", true),
            ("", "%", "a", true),
            ("", "%", "a/b", false),
            ("", "%/b", "a/b", true),
            ("", "a%c", "abbc", true),
            ("", "a%c", "ab/c", false),
            ("", "a*c", "ab/c", true),
            ("", "*%", "a/b", true),
            ("", "%*", "a/b", true),
            ("a/", "%", "a/b", true),
            ("a/", "%", "b", false),
            ("", "inbox", "INBOX", true),
            ("", "iNbOx/%", "INBOX/x", true),
            ("", "inbox/X", "INBOX/x", false),
            ("", "inboxes", "INBOXES", false),
            ("", "", "a", false),
            ("", "%b%d", "abcd", true),
            ("", "*b*d", "ab/cd/d", true),
            ("", "ä%", "äöü", true),
            ("", "ä", "ä", true),
            ("", "ä*", "å", false),
            ("", "ab", "a", false),
            ("", "a", "ab", false),
            ("", "a*", "a", true),
            ("", "a/%", "a/b/c", false),
            ("", "in%x", "INBOX", true),
            ("", "inbo%/x", "INBOX/x", true),
            ("", "inbo%/X", "INBOX/x", false),
            ("", "in*", "INBOXES", false),
            ("", "inbox*", "INBOX/é", true),
            ("", "i\u{307}*", "INBOX", false),
        ] {
            let matches = Pattern::new(reference, pattern).matches(name);
            assert_eq!(matches, expected, "{reference:?} {pattern:?} {name:?}");
        }
    }

    #[test]
    fn what_may_lie_below_a_prefix() {
        for (pattern, expected) in [
            ("*", true),
            ("%", true),
            ("Other Users/ann/*", true),
            ("Oth*", true),
            ("Other Users%", true),
            ("INBOX", false),
            ("Other Mail/%", false),
        ] {
            let may = Pattern::new("", pattern).may_match_at("Other Users");
            assert_eq!(may, expected, "{pattern}");
        }
    }

    #[test]
    fn many_wildcards_take_no_longer() {
        let pattern = Pattern::new("", &"*a".repeat(500));
        assert!(!pattern.matches(&format!("{}b", "a".repeat(1000))));
        assert!(pattern.matches(&"a".repeat(1000)));
    }
}
