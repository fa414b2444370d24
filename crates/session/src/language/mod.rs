//! The languages that a client can be answered in (LANGUAGE, RFC 5255 §3).
//!
//! Texts are written in English where they are needed; `catalogue.tsv` has them in the other languages.
//! Only what people read is translated, and only on its way out ([`crate::cx::Cx::status`]): response codes
//! and what logs say never change. In a row, `{}` stands for a part that is the same in every language.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::LazyLock;

/// A language of the server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Language {
    /// `i-default` (RFC 2277): English that anybody may be sent.
    #[default]
    Default,
    English,
    German,
    French,
    Spanish,
}

impl Language {
    /// All, as they are listed.
    pub(crate) const ALL: [Language; 5] = [
        Language::English,
        Language::German,
        Language::French,
        Language::Spanish,
        Language::Default,
    ];

    /// Its tag (RFC 5646).
    pub(crate) fn tag(self) -> &'static str {
        match self {
            Language::Default => "i-default",
            Language::English => "EN",
            Language::German => "DE",
            Language::French => "FR",
            Language::Spanish => "ES",
        }
    }

    /// The language that a range means: itself, or what is left of it when its last parts are taken away
    /// one after the other (RFC 4647 §3.4).
    pub(crate) fn of_range(range: &str) -> Option<Language> {
        if range == "*" {
            return Some(Language::Default);
        }
        let mut range = range;
        loop {
            let mut all = Language::ALL.into_iter();
            if let Some(found) = all.find(|known| known.tag().eq_ignore_ascii_case(range)) {
                return Some(found);
            }
            let (rest, _) = range.rsplit_once('-')?;
            // A single letter goes with what followed it.
            range = match rest.rsplit_once('-') {
                Some((before, letter)) if letter.len() == 1 => before,
                _ => rest,
            };
        }
    }

    /// Its column of the catalogue.
    fn column(self) -> Option<usize> {
        match self {
            Language::Default | Language::English => None,
            Language::German => Some(0),
            Language::French => Some(1),
            Language::Spanish => Some(2),
        }
    }

    /// A text in this language; in English if there is no other.
    pub(crate) fn text(self, text: &str) -> Cow<'_, str> {
        let translated = self
            .column()
            .and_then(|column| CATALOGUE.find(text, column));
        translated.unwrap_or(Cow::Borrowed(text))
    }

    /// The name of a namespace in this language, if it has another than its own (RFC 5255 §3.4).
    pub(crate) fn namespace(self, prefix: &str) -> Option<String> {
        let (name, separator) = prefix.split_at_checked(prefix.len().checked_sub(1)?)?;
        let translated = CATALOGUE.find(name, self.column()?)?;
        (translated != name).then(|| format!("{translated}{separator}"))
    }
}

const ROWS: &str = include_str!("catalogue.tsv");

static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| Catalogue::parse(ROWS));

/// The other languages' texts.
type Columns = [&'static str; 3];

struct Catalogue {
    whole: HashMap<&'static str, Columns>,
    /// Rows with `{}`: what stands between them.
    patterns: Vec<(Vec<&'static str>, Columns)>,
}

impl Catalogue {
    fn parse(rows: &'static str) -> Catalogue {
        let mut catalogue = Catalogue {
            whole: HashMap::new(),
            patterns: Vec::new(),
        };
        for row in rows.lines().skip(1) {
            let columns: Vec<&str> = row.split('\t').collect();
            // A test holds every row to this.
            let [english, german, french, spanish] = columns[..] else {
                continue;
            };
            let others = [german, french, spanish];
            match english.contains("{}") {
                true => {
                    let parts = english.split("{}").collect();
                    catalogue.patterns.push((parts, others));
                }
                false => drop(catalogue.whole.insert(english, others)),
            }
        }
        catalogue
    }

    fn find(&self, text: &str, column: usize) -> Option<Cow<'static, str>> {
        if let Some(found) = self.whole.get(text) {
            return Some(Cow::Borrowed(found[column]));
        }
        let mut patterns = self.patterns.iter();
        patterns.find_map(|(parts, others)| {
            let holes = holes(parts, text)?;
            Some(Cow::Owned(fill(others[column], &holes)))
        })
    }
}

/// What stands for each `{}`.
fn holes<'t>(parts: &[&str], text: &'t str) -> Option<Vec<&'t str>> {
    let (first, parts) = parts.split_first()?;
    let (last, between) = parts.split_last()?;
    let mut rest = text.strip_prefix(first)?.strip_suffix(last)?;
    let mut holes = Vec::new();
    for part in between {
        let (hole, after) = rest.split_once(part)?;
        holes.push(hole);
        rest = after;
    }
    holes.push(rest);
    Some(holes)
}

fn fill(pattern: &str, holes: &[&str]) -> String {
    let mut holes = holes.iter();
    let mut out = String::new();
    for (at, part) in pattern.split("{}").enumerate() {
        if at > 0 {
            out.push_str(holes.next().copied().unwrap_or_default());
        }
        out.push_str(part);
    }
    out
}

#[cfg(test)]
mod tests;
