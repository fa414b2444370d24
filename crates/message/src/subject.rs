//! The base subject (RFC 5256 §2.1, §5).

/// A subject as SORT and THREAD see it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BaseSubject {
    /// The base subject; case is kept.
    pub text: String,
    /// Something that marks a reply or a forward was removed (RFC 5256 §3, THREAD REFERENCES).
    pub is_reply: bool,
}

/// Extracts the base subject of a decoded subject, in time proportional to its length.
pub fn base_subject(decoded: &str) -> BaseSubject {
    let mut collapsed = String::with_capacity(decoded.len());
    for byte in decoded.chars() {
        let byte = if matches!(byte, '\t' | '\r' | '\n') {
            ' '
        } else {
            byte
        };
        if byte != ' ' || !collapsed.ends_with(' ') {
            collapsed.push(byte);
        }
    }
    let mut rest = &collapsed[..];
    let mut is_reply = false;
    loop {
        // (2)
        rest = strip_trailers(rest, &mut is_reply);
        // (3) to (5)
        rest = strip_leaders(rest, &mut is_reply);
        // (6)
        match strip_prefix_no_case(rest, "[fwd:").and_then(|inner| inner.strip_suffix(']')) {
            Some(inner) => {
                is_reply = true;
                rest = inner;
            }
            None => break,
        }
    }
    BaseSubject {
        text: rest.to_owned(),
        is_reply,
    }
}

/// `subj-trailer = "(fwd)" / WSP`, as often as it matches.
fn strip_trailers<'a>(mut text: &'a str, is_reply: &mut bool) -> &'a str {
    loop {
        text = text.trim_end_matches(' ');
        let Some(at) = text
            .len()
            .checked_sub(5)
            .filter(|&at| text.is_char_boundary(at))
        else {
            return text;
        };
        if !text[at..].eq_ignore_ascii_case("(fwd)") {
            return text;
        }
        *is_reply = true;
        text = &text[..at];
    }
}

/// `subj-leader = (*subj-blob subj-refwd) / WSP`, and blobs before a base that is not empty.
fn strip_leaders<'a>(mut text: &'a str, is_reply: &mut bool) -> &'a str {
    loop {
        text = text.trim_start_matches(' ');
        // All blobs here, and where the last of them begins. Without a refwd after them they go
        // one by one, as long as something is left.
        let mut after = text;
        let mut last = None;
        while let Some(next) = strip_blob(after) {
            last = Some(after);
            after = next;
        }
        if let Some(next) = strip_refwd(after) {
            *is_reply = true;
            text = next;
            continue;
        }
        return match last {
            Some(last) if after.is_empty() => last,
            _ => after,
        };
    }
}

/// `subj-blob = "[" *BLOBCHAR "]" *WSP`
fn strip_blob(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('[')?;
    let end = inner.find(['[', ']'])?;
    Some(inner[end..].strip_prefix(']')?.trim_start_matches(' '))
}

/// `subj-refwd = ("re" / ("fw" ["d"])) *WSP [subj-blob] ":"`
fn strip_refwd(text: &str) -> Option<&str> {
    let rest = ["re", "fwd", "fw"]
        .iter()
        .find_map(|word| strip_prefix_no_case(text, word))?;
    let rest = rest.trim_start_matches(' ');
    strip_blob(rest).unwrap_or(rest).strip_prefix(':')
}

fn strip_prefix_no_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let head = text.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix)
        .then(|| &text[prefix.len()..])
}

#[cfg(test)]
mod tests {
    use super::base_subject;

    #[test]
    fn known_answers() {
        let cases = [
            ("hello", "hello", false),
            ("  hello \t world  ", "hello world", false),
            ("Re: hello", "hello", true),
            ("RE :hello", "hello", true),
            ("re[2]: hello", "hello", true),
            ("Re [2] : hello", "hello", true),
            ("Re: [list] Fwd: hello", "hello", true),
            ("[list] hello", "hello", false),
            ("[a] [b] [c] hello", "hello", false),
            ("[a] [b]", "[b]", false),
            ("[list]", "[list]", false),
            ("[a][b] re: [c]", "[c]", true),
            ("fw: hello (fwd) (FWD)", "hello", true),
            ("[Fwd: hello]", "hello", true),
            ("[fwd: Re: [fwd: hello (fwd)]]", "hello", true),
            ("[Fwd: hello] there", "there", false),
            ("Re:", "", true),
            ("(fwd)", "", true),
            ("", "", false),
            ("Regarding: x", "Regarding: x", false),
            ("Re: Re: re: x", "x", true),
            ("é(fwd)", "é", true),
            ("[unclosed re: x", "[unclosed re: x", false),
            ("re: é", "é", true),
        ];
        for (subject, text, is_reply) in cases {
            let base = base_subject(subject);
            assert_eq!(
                (&base.text[..], base.is_reply),
                (text, is_reply),
                "{subject}"
            );
        }
    }

    #[test]
    fn long_subjects_take_linear_time() {
        for piece in ["[a]", "re:", "[fwd:", "(fwd)", "[a]re:", " ", "]"] {
            let subject = piece.repeat(300_000);
            base_subject(&subject);
            base_subject(&format!("{subject}x{}", "]".repeat(300_000)));
        }
    }
}
