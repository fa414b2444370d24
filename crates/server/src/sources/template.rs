//! `%u`, `%n` and `%d` in settings: the user's whole name, the part before the `@`, the domain.

/// A user's name, in its canonical form, and its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UserName<'a> {
    pub(crate) full: &'a str,
    local: &'a str,
    domain: &'a str,
}

impl<'a> UserName<'a> {
    pub(crate) fn new(full: &'a str) -> UserName<'a> {
        let (local, domain) = full.rsplit_once('@').unwrap_or((full, ""));
        UserName {
            full,
            local,
            domain,
        }
    }

    /// What follows the `@`; empty: nothing does.
    pub(crate) fn domain(&self) -> &'a str {
        self.domain
    }

    pub(crate) fn part(&self, part: Part) -> &'a str {
        match part {
            Part::Full => self.full,
            Part::Local => self.local,
            Part::Domain => self.domain,
        }
    }
}

/// Which part of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Full,
    Local,
    Domain,
}

/// A text with places for a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    Text(String),
    Name(Part),
}

impl Template {
    pub(crate) fn parse(text: &str) -> Result<Template, String> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            if c != '%' {
                plain.push(c);
                continue;
            }
            let part = match chars.next() {
                Some('u') => Part::Full,
                Some('n') => Part::Local,
                Some('d') => Part::Domain,
                Some('%') => {
                    plain.push('%');
                    continue;
                }
                other => {
                    let other = other.map(String::from).unwrap_or_default();
                    return Err(format!("`%{other}` is none of %u, %n, %d, %%"));
                }
            };
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
            }
            pieces.push(Piece::Name(part));
        }
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Template(pieces))
    }

    fn has(&self, parts: &[Part]) -> bool {
        let is = |piece: &Piece| matches!(piece, Piece::Name(part) if parts.contains(part));
        self.0.iter().any(is)
    }

    /// Whether the domain is in what it makes.
    pub(crate) fn has_domain(&self) -> bool {
        self.has(&[Part::Full, Part::Domain])
    }

    /// Whether the part before the `@` is in what it makes.
    pub(crate) fn has_local_part(&self) -> bool {
        self.has(&[Part::Full, Part::Local])
    }

    /// The text for a name, put in as it is.
    pub(crate) fn plain(&self, name: UserName<'_>) -> String {
        self.fill(name, str::to_owned)
    }

    /// The text for a name, of which each part is escaped before it is put in.
    pub(crate) fn fill(&self, name: UserName<'_>, escape: impl Fn(&str) -> String) -> String {
        let mut out = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Name(part) => out.push_str(&escape(name.part(*part))),
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_their_places() {
        let fill = |text: &str, name: &str| {
            let template = Template::parse(text).unwrap();
            template.plain(UserName::new(name))
        };
        assert_eq!(fill("%u", "ada@example.org"), "ada@example.org");
        assert_eq!(fill("x%n-%d%%", "ada@example.org"), "xada-example.org%");
        assert_eq!(fill("%n|%d", "ada"), "ada|");
        assert_eq!(fill("%n|%d", "a@b@c"), "a@b|c");
        // What a name contains is put in as it is, not looked at again.
        assert_eq!(fill("%n", "%d@example.org"), "%d");
        let escaped = Template::parse("(%u)").unwrap();
        assert_eq!(
            escaped.fill(UserName::new("ada"), str::to_uppercase),
            "(ADA)"
        );
        for wrong in ["%", "%x", "a%"] {
            assert!(Template::parse(wrong).is_err(), "{wrong}");
        }
    }
}
