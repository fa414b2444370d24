//! OAUTHBEARER (RFC 7628) and its forerunner XOAUTH2: a token instead of a password.

use super::{Credentials, Proof, SaslError, Step, TokenError, text};
use crate::Secret;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    OAuthBearer,
    XOAuth2,
}

#[derive(Debug)]
pub(super) struct OAuth {
    form: Form,
    over: bool,
}

impl OAuth {
    pub(super) fn new(form: Form) -> OAuth {
        OAuth { form, over: false }
    }

    pub(super) fn name(&self) -> &'static str {
        match self.form {
            Form::OAuthBearer => "OAUTHBEARER",
            Form::XOAuth2 => "XOAUTH2",
        }
    }

    pub(super) fn step(&mut self, response: &[u8]) -> Step {
        if std::mem::replace(&mut self.over, true) {
            return Step::Failed(SaslError::Over);
        }
        let credentials = match self.form {
            Form::OAuthBearer => bearer(response),
            Form::XOAuth2 => xoauth2(response),
        };
        match credentials {
            Ok(credentials) => Step::Done(credentials),
            Err(error) => Step::Failed(error),
        }
    }

    /// The JSON of a refusal (RFC 7628 §3.2.2).
    pub(super) fn error(&self, error: &TokenError<'_>) -> Vec<u8> {
        let mut fields = match (self.form, error.lacks_scope) {
            (Form::OAuthBearer, false) => vec![("status", "invalid_token")],
            (Form::OAuthBearer, true) => vec![("status", "insufficient_scope")],
            (Form::XOAuth2, _) => vec![("status", "401"), ("schemes", "bearer")],
        };
        if !error.scope.is_empty() {
            fields.push(("scope", &error.scope));
        }
        if self.form == Form::OAuthBearer && !error.configuration.is_empty() {
            fields.push(("openid-configuration", &error.configuration));
        }
        let fields: Vec<String> = fields
            .iter()
            .map(|(name, value)| format!("\"{name}\":\"{}\"", json_text(value)))
            .collect();
        format!("{{{}}}", fields.join(",")).into_bytes()
    }
}

fn json_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push('?'),
            c => out.push(c),
        }
    }
    out
}

/// `gs2-header kvsep *kvpair kvsep` (RFC 7628 §3.1); kvsep is 0x01.
fn bearer(response: &[u8]) -> Result<Credentials, SaslError> {
    let response = Secret::new(text(response)?);
    let (header, pairs) = response
        .expose()
        .split_once('\x01')
        .ok_or(SaslError::Malformed)?;
    let header = Gs2::parse(header).ok_or(SaslError::Malformed)?;
    if !header.after.is_empty() {
        return Err(SaslError::Malformed);
    }
    if header.flag.starts_with('p') {
        return Err(SaslError::Refused("OAUTHBEARER has no channel binding"));
    }
    let token = token(pairs)?;
    Ok(Credentials {
        user: String::new(),
        acting_as: header.acting_as,
        proof: Proof::Token(token),
    })
}

/// `user=NAME^Aauth=Bearer TOKEN^A^A`, as Google and Microsoft document it.
fn xoauth2(response: &[u8]) -> Result<Credentials, SaslError> {
    let response = Secret::new(text(response)?);
    let rest = response
        .expose()
        .strip_prefix("user=")
        .ok_or(SaslError::Malformed)?;
    let (user, pairs) = rest.split_once('\x01').ok_or(SaslError::Malformed)?;
    if user.contains('\0') {
        return Err(SaslError::Malformed);
    }
    let token = token(pairs)?;
    Ok(Credentials {
        user: String::new(),
        acting_as: (!user.is_empty()).then(|| user.to_owned()),
        proof: Proof::Token(token),
    })
}

/// The token of `*kvpair kvsep`. None at all is an empty one: how a client asks where to get one
/// (RFC 7628 §4.3).
fn token(pairs: &str) -> Result<Secret<String>, SaslError> {
    let pairs = pairs.strip_suffix('\x01').ok_or(SaslError::Malformed)?;
    let mut found = None;
    for pair in pairs.split('\x01').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').ok_or(SaslError::Malformed)?;
        if key.is_empty() || !key.bytes().all(|b| b.is_ascii_alphabetic()) {
            return Err(SaslError::Malformed);
        }
        if key == "auth" && found.replace(value).is_some() {
            return Err(SaslError::Malformed);
        }
    }
    let value = found.unwrap_or_default();
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    let token = token.trim_matches(' ');
    // RFC 6750 §2.1 b64token.
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b);
    match scheme {
        "" => Ok(Secret::default()),
        scheme if scheme.eq_ignore_ascii_case("Bearer") && token.bytes().all(legal) => {
            Ok(Secret::new(token.to_owned()))
        }
        _ => Err(SaslError::Malformed),
    }
}

/// The header of mechanisms that were made for GSS-API (RFC 5801 §4):
/// `flag "," ["a=" saslname] ","`.
pub(super) struct Gs2<'a> {
    /// `n`, `y` or `p=NAME`.
    pub(super) flag: &'a str,
    /// The authorization identity.
    pub(super) acting_as: Option<String>,
    /// Octets of the header, with its last comma.
    pub(super) bytes: usize,
    /// What follows.
    pub(super) after: &'a str,
}

impl<'a> Gs2<'a> {
    pub(super) fn parse(message: &'a str) -> Option<Gs2<'a>> {
        let (flag, rest) = message.split_once(',')?;
        let (name, after) = rest.split_once(',')?;
        let binding = |name: &str| {
            !name.is_empty()
                && name
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b))
        };
        let known = matches!(flag, "n" | "y") || flag.strip_prefix("p=").is_some_and(binding);
        let acting_as = match name.strip_prefix("a=") {
            Some(name) => Some(sasl_name(name)?),
            None if name.is_empty() => None,
            None => return None,
        };
        known.then_some(Gs2 {
            flag,
            acting_as,
            bytes: message.len() - after.len(),
            after,
        })
    }
}

/// A name in which `,` is `=2C` and `=` is `=3D` (RFC 5801 §4, RFC 5802 §5.1). Not empty.
pub(super) fn sasl_name(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('=') {
        out.push_str(rest.get(..at)?);
        match rest.get(at..at + 3)? {
            "=2C" => out.push(','),
            "=3D" => out.push('='),
            _ => return None,
        }
        rest = rest.get(at + 3..)?;
    }
    out.push_str(rest);
    (!out.is_empty() && !out.contains('\0')).then_some(out)
}

/// The other way.
pub(super) fn to_sasl_name(text: &str) -> String {
    text.replace('=', "=3D").replace(',', "=2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(form: Form, response: &[u8]) -> (Option<String>, String) {
        match OAuth::new(form).step(response) {
            Step::Done(Credentials {
                acting_as,
                proof: Proof::Token(token),
                ..
            }) => (acting_as, token.expose().clone()),
            other => panic!("{other:?}"),
        }
    }

    /// The examples of RFC 7628 §4.1, §4.3.
    #[test]
    fn the_examples_of_the_rfc() {
        let first = b"n,a=user@example.com,\x01host=server.example.com\x01port=143\x01\
            auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01";
        let (user, token) = done(Form::OAuthBearer, first);
        assert_eq!(user.as_deref(), Some("user@example.com"));
        assert_eq!(token, "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==");
        let asks = b"n,a=user@example.com,\x01host=server.example.com\x01port=143\x01\x01";
        assert_eq!(done(Form::OAuthBearer, asks).1, "");
    }

    #[test]
    fn what_a_refusal_says() {
        let error = TokenError {
            lacks_scope: false,
            scope: "mail".into(),
            configuration: "https://id.example/.well-known/openid-configuration".into(),
        };
        assert_eq!(
            String::from_utf8(OAuth::new(Form::OAuthBearer).error(&error)).unwrap(),
            r#"{"status":"invalid_token","scope":"mail","openid-configuration":"https://id.example/.well-known/openid-configuration"}"#
        );
        assert_eq!(
            String::from_utf8(OAuth::new(Form::XOAuth2).error(&error)).unwrap(),
            r#"{"status":"401","schemes":"bearer","scope":"mail"}"#
        );
        let quoted = TokenError {
            scope: "a\"b\\\n".into(),
            ..TokenError::default()
        };
        let said = String::from_utf8(OAuth::new(Form::OAuthBearer).error(&quoted)).unwrap();
        assert_eq!(said, r#"{"status":"invalid_token","scope":"a\"b\\?"}"#);
    }

    #[test]
    fn xoauth2() {
        let (user, token) = done(
            Form::XOAuth2,
            b"user=u@example.com\x01auth=Bearer ya29.x\x01\x01",
        );
        assert_eq!(
            (user.as_deref(), token.as_str()),
            (Some("u@example.com"), "ya29.x")
        );
    }

    #[test]
    fn malformed_responses_fail() {
        for bad in [
            &b""[..],
            b"\x01",
            b"n,,",
            b"n,,\x01auth=Bearer x",
            b"n,,x\x01auth=Bearer x\x01\x01",
            b"n,b=x,\x01auth=Bearer x\x01\x01",
            b"n,a=x=y,\x01auth=Bearer x\x01\x01",
            b"q,,\x01auth=Bearer x\x01\x01",
            b"n,,\x01auth=Basic x\x01\x01",
            b"n,,\x01auth=Bearer x y\x01\x01",
            b"n,,\x01auth=Bearer x\0\x01\x01",
            b"n,,\x01auth=Bearer x\x01auth=Bearer y\x01\x01",
            b"n,,\x01auth\x01\x01",
            b"n,,\x01auth=Bearer \xff\x01\x01",
        ] {
            let step = OAuth::new(Form::OAuthBearer).step(bad);
            assert!(matches!(step, Step::Failed(_)), "{bad:?}: {step:?}");
        }
        for bad in [
            &b"user=x"[..],
            b"auth=Bearer x\x01\x01",
            b"user=a\0\x01auth=Bearer x\x01\x01",
        ] {
            assert!(matches!(
                OAuth::new(Form::XOAuth2).step(bad),
                Step::Failed(_)
            ));
        }
    }
}
