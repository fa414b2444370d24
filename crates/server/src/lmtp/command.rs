//! LMTP commands (RFC 2033, RFC 5321, RFC 3030, RFC 1870, RFC 6531).

use super::address::{self, Address};

/// The longest command line with its CRLF, in bytes. RFC 5321 §4.5.3.1.4 asks for 512, extensions
/// for a little more; addresses may be longer than they should.
pub(super) const LINE_BYTES_MAX: usize = 4096;

/// A command of the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Command {
    Lhlo(String),
    Mail(Mail),
    Rcpt(Address),
    Data,
    Bdat {
        size: u64,
        last: bool,
    },
    Rset,
    Noop,
    Vrfy(String),
    Help,
    Quit,
    /// HELO or EHLO: this is not SMTP.
    Smtp,
    /// A command of SMTP that is not offered.
    NotOffered,
    Unknown,
}

/// The sender of a message and what is announced about it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Mail {
    /// `None` is the null path.
    pub(super) from: Option<Address>,
    /// The announced size in bytes (RFC 1870).
    pub(super) size: Option<u64>,
    pub(super) smtputf8: bool,
}

/// What is wrong with a command that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Malformed {
    /// 501 5.5.4
    Arguments(&'static str),
    /// 501 5.1.7 or 5.1.3
    Address(&'static str),
    /// 555 5.5.4
    Parameter,
}

/// Reads a command from its line, without the CRLF.
pub(super) fn parse(line: &[u8]) -> Result<Command, Malformed> {
    let Ok(line) = std::str::from_utf8(line) else {
        return Ok(Command::Unknown);
    };
    let line = line.trim_end_matches([' ', '\t']);
    let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
    let rest = rest.trim_start_matches(' ');
    let is = |name: &str| verb.eq_ignore_ascii_case(name);
    let bare = |command| {
        if rest.is_empty() {
            Ok(command)
        } else {
            Err(Malformed::Arguments("no arguments expected"))
        }
    };
    if is("MAIL") {
        mail(after(rest, "FROM:").ok_or(Malformed::Arguments("MAIL FROM:<address> expected"))?)
    } else if is("RCPT") {
        rcpt(after(rest, "TO:").ok_or(Malformed::Arguments("RCPT TO:<address> expected"))?)
    } else if is("DATA") {
        bare(Command::Data)
    } else if is("BDAT") {
        bdat(rest)
    } else if is("LHLO") {
        if rest.is_empty() || rest.len() > 255 || rest.contains(|c: char| c.is_control()) {
            return Err(Malformed::Arguments("LHLO needs the client's name"));
        }
        Ok(Command::Lhlo(rest.to_owned()))
    } else if is("RSET") {
        bare(Command::Rset)
    } else if is("QUIT") {
        bare(Command::Quit)
    } else if is("NOOP") {
        Ok(Command::Noop)
    } else if is("VRFY") {
        match rest {
            "" => Err(Malformed::Arguments("VRFY needs a name")),
            name => Ok(Command::Vrfy(name.to_owned())),
        }
    } else if is("HELP") {
        Ok(Command::Help)
    } else if is("HELO") || is("EHLO") {
        Ok(Command::Smtp)
    } else if [
        "EXPN", "AUTH", "STARTTLS", "TURN", "ETRN", "SEND", "SOML", "SAML",
    ]
    .into_iter()
    .any(is)
    {
        Ok(Command::NotOffered)
    } else {
        Ok(Command::Unknown)
    }
}

/// What follows `keyword` (any case) and spaces, which some clients put there.
fn after<'a>(text: &'a str, keyword: &str) -> Option<&'a str> {
    let head = text.get(..keyword.len())?;
    head.eq_ignore_ascii_case(keyword)
        .then(|| text[keyword.len()..].trim_start_matches(' '))
}

fn mail(text: &str) -> Result<Command, Malformed> {
    let (from, parameters) = path(text)?;
    let mut mail = Mail {
        from,
        ..Mail::default()
    };
    let mut body_given = false;
    for parameter in parameters.split_ascii_whitespace() {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        if name.eq_ignore_ascii_case("SIZE") {
            let digits = (1..=20).contains(&value.len()) && is_number(value);
            if !digits || mail.size.is_some() {
                return Err(Malformed::Arguments("one SIZE, of up to 20 digits"));
            }
            // What 64 bits cannot hold is too large in any case.
            mail.size = Some(value.parse().unwrap_or(u64::MAX));
        } else if name.eq_ignore_ascii_case("BODY") {
            if value.eq_ignore_ascii_case("BINARYMIME") {
                // It is not offered (RFC 3030 §3): its octets could not be had by BODY[].
                return Err(Malformed::Parameter);
            }
            let known = ["7BIT", "8BITMIME"];
            let is_known = known.iter().any(|known| value.eq_ignore_ascii_case(known));
            if !is_known || std::mem::replace(&mut body_given, true) {
                return Err(Malformed::Arguments("one BODY: 7BIT or 8BITMIME"));
            }
        } else if name.eq_ignore_ascii_case("SMTPUTF8") && value.is_empty() {
            mail.smtputf8 = true;
        } else {
            return Err(Malformed::Parameter);
        }
    }
    Ok(Command::Mail(mail))
}

fn rcpt(text: &str) -> Result<Command, Malformed> {
    let (to, parameters) = path(text)?;
    if !parameters.trim().is_empty() {
        return Err(Malformed::Parameter);
    }
    to.map(Command::Rcpt)
        .ok_or(Malformed::Address("empty recipient"))
}

/// A path, and the parameters behind it.
fn path(text: &str) -> Result<(Option<Address>, &str), Malformed> {
    let (path, rest) = address::path(text).map_err(Malformed::Address)?;
    match rest.is_empty() || rest.starts_with(' ') {
        true => Ok((path, rest)),
        false => Err(Malformed::Arguments("text behind the address")),
    }
}

fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// `BDAT chunk-size [LAST]` (RFC 3030 §2).
fn bdat(rest: &str) -> Result<Command, Malformed> {
    let mut words = rest.split_ascii_whitespace();
    let size = words
        .next()
        .filter(|word| word.len() <= 20 && is_number(word))
        .and_then(|word| word.parse().ok());
    let size = size.ok_or(Malformed::Arguments("BDAT needs a size"))?;
    match (words.next(), words.next()) {
        (None, _) => Ok(Command::Bdat { size, last: false }),
        (Some(word), None) if word.eq_ignore_ascii_case("LAST") => {
            Ok(Command::Bdat { size, last: true })
        }
        _ => Err(Malformed::Arguments("BDAT size [LAST] expected")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_without_arguments() {
        for (line, command) in [
            ("DATA", Command::Data),
            ("data ", Command::Data),
            ("rset", Command::Rset),
            ("NOOP whatever", Command::Noop),
            ("QUIT", Command::Quit),
            ("EHLO x", Command::Smtp),
            ("AUTH PLAIN", Command::NotOffered),
            ("", Command::Unknown),
            ("GET / HTTP/1.1", Command::Unknown),
        ] {
            assert_eq!(parse(line.as_bytes()), Ok(command), "{line}");
        }
        assert!(parse(b"DATA now").is_err());
        assert_eq!(parse(b"LHLO \xff"), Ok(Command::Unknown));
    }

    #[test]
    fn mail_and_its_parameters() {
        let Ok(Command::Mail(mail)) = parse(b"mail from: <a@b> size=123 BODY=8BITMIME smtputf8")
        else {
            panic!()
        };
        assert_eq!((mail.size, mail.smtputf8), (Some(123), true));
        assert_eq!(mail.from.unwrap().text, "a@b");
        let Ok(Command::Mail(mail)) = parse(b"MAIL FROM:<>") else {
            panic!()
        };
        assert_eq!(mail.from, None);
        for bad in [
            "MAIL",
            "MAIL <a@b>",
            "MAIL FROM:",
            "MAIL FROM:<a@b> SIZE=x",
            "MAIL FROM:<a@b> SIZE=",
            "MAIL FROM:<a@b> SIZE=99999999999999999999999",
            "MAIL FROM:<a@b> BODY=9BIT",
            "MAIL FROM:<a@b> BODY=BINARYMIME",
            "MAIL FROM:<a@b> BODY=7BIT BODY=7BIT",
            "MAIL FROM:<a@b> SIZE=+1",
            "MAIL FROM:<a@b> SIZE=1 SIZE=1",
            "MAIL FROM:<a@b>SIZE=1",
            "MAIL FROM:<a@b> SMTPUTF8=yes",
            "RCPT TO:<a@b>x",
            "VRFY",
            "BDAT +1",
        ] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
        let Ok(Command::Mail(mail)) = parse(b"MAIL FROM:<a@b> SIZE=99999999999999999999") else {
            panic!()
        };
        assert_eq!(mail.size, Some(u64::MAX));
        assert_eq!(
            parse(b"MAIL FROM:<a@b> RET=HDRS"),
            Err(Malformed::Parameter)
        );
    }

    #[test]
    fn rcpt() {
        assert!(matches!(parse(b"RCPT TO:<a@b>"), Ok(Command::Rcpt(a)) if a.text == "a@b"));
        assert!(matches!(parse(b"RCPT TO:<>"), Err(Malformed::Address(_))));
        assert_eq!(
            parse(b"RCPT TO:<a@b> NOTIFY=NEVER"),
            Err(Malformed::Parameter)
        );
    }

    #[test]
    fn bdat() {
        assert_eq!(
            parse(b"BDAT 10"),
            Ok(Command::Bdat {
                size: 10,
                last: false
            })
        );
        assert_eq!(
            parse(b"bdat 0 last"),
            Ok(Command::Bdat {
                size: 0,
                last: true
            })
        );
        for bad in [
            "BDAT",
            "BDAT x",
            "BDAT -1",
            "BDAT 1 FIRST",
            "BDAT 1 LAST x",
            "BDAT 18446744073709551616",
        ] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
