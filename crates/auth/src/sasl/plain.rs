//! PLAIN (RFC 4616).

use super::{Credentials, Proof, SaslError, Step, text};
use crate::Secret;

/// `message = [authzid] UTF8NUL authcid UTF8NUL passwd` (RFC 4616 §2), in one response.
#[derive(Debug, Default)]
pub(super) struct Plain {
    over: bool,
}

impl Plain {
    pub(super) fn step(&mut self, response: &[u8]) -> Step {
        if std::mem::replace(&mut self.over, true) {
            return Step::Failed(SaslError::Over);
        }
        match parse(response) {
            Ok(credentials) => Step::Done(credentials),
            Err(error) => Step::Failed(error),
        }
    }
}

fn parse(response: &[u8]) -> Result<Credentials, SaslError> {
    let mut fields = response.split(|b| *b == 0);
    let (Some(acting_as), Some(user), Some(password), None) =
        (fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return Err(SaslError::Malformed);
    };
    if user.is_empty() || password.is_empty() {
        return Err(SaslError::Malformed);
    }
    Ok(Credentials {
        user: text(user)?,
        acting_as: if acting_as.is_empty() {
            None
        } else {
            Some(text(acting_as)?)
        },
        proof: Proof::Password(Secret::new(text(password)?)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(credentials: &Credentials) -> &str {
        match &credentials.proof {
            Proof::Password(secret) => secret.expose(),
            other => panic!("{other:?}"),
        }
    }

    /// The examples of RFC 4616 §4.
    #[test]
    fn the_examples_of_the_rfc() {
        let first = parse(b"\0tim\0tanstaaftanstaaf").unwrap();
        assert_eq!(
            (first.user.as_str(), first.acting_as.as_deref()),
            ("tim", None)
        );
        assert_eq!(password(&first), "tanstaaftanstaaf");
        let second = parse(b"Ursel\0Kurt\0xipj3plmq").unwrap();
        assert_eq!(
            (second.user.as_str(), second.acting_as.as_deref()),
            ("Kurt", Some("Ursel"))
        );
        assert_eq!(password(&second), "xipj3plmq");
    }

    #[test]
    fn malformed_responses_fail() {
        for bad in [
            &b""[..],
            b"\0",
            b"\0\0",
            b"tim",
            b"\0tim",
            b"\0tim\0",
            b"\0\0pw",
            b"\0a\0b\0c",
        ] {
            assert_eq!(parse(bad).unwrap_err(), SaslError::Malformed, "{bad:?}");
        }
        assert_eq!(parse(b"\0tim\0\xff").unwrap_err(), SaslError::NotUtf8);
    }

    #[test]
    fn a_second_response_fails() {
        let mut plain = Plain::default();
        assert!(matches!(plain.step(b"\0a\0b"), Step::Done(_)));
        assert!(matches!(
            plain.step(b"\0a\0b"),
            Step::Failed(SaslError::Over)
        ));
    }
}
