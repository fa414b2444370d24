//! ANONYMOUS (RFC 4505): nobody in particular, with a word of who it is.

use super::{Credentials, Proof, SaslError, Step, text};

/// The longest trace, in characters (RFC 4505 §2).
const TRACE_CHARS_MAX: usize = 255;

#[derive(Debug, Default)]
pub(super) struct Anonymous {
    over: bool,
}

impl Anonymous {
    pub(super) fn step(&mut self, response: &[u8]) -> Step {
        if std::mem::replace(&mut self.over, true) {
            return Step::Failed(SaslError::Over);
        }
        match text(response) {
            Ok(trace) if trace.contains('\0') || trace.chars().count() > TRACE_CHARS_MAX => {
                Step::Failed(SaslError::Malformed)
            }
            Ok(trace) => Step::Done(Credentials {
                user: String::new(),
                acting_as: None,
                proof: Proof::Anonymous(trace),
            }),
            Err(error) => Step::Failed(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 4505 §3.
    #[test]
    fn the_example_of_the_rfc() {
        match Anonymous::default().step(b"sirhc") {
            Step::Done(Credentials {
                proof: Proof::Anonymous(trace),
                ..
            }) => assert_eq!(trace, "sirhc"),
            other => panic!("{other:?}"),
        }
        let long = "x".repeat(256);
        assert!(matches!(
            Anonymous::default().step(long.as_bytes()),
            Step::Failed(SaslError::Malformed)
        ));
    }
}
