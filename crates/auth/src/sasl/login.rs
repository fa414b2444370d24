//! LOGIN, the mechanism before PLAIN: two prompts, two answers.

use super::{Credentials, Proof, SaslError, Step, text};
use crate::Secret;

/// Where the exchange stands: `Start → User → Password → Over`.
#[derive(Debug, Default)]
pub(super) struct Login(State);

#[derive(Debug, Default)]
enum State {
    #[default]
    Start,
    User,
    Password(String),
    Over,
}

impl Login {
    /// An empty first response asks for the first prompt; a first response with text is a user
    /// name sent ahead (some clients send it as an initial response).
    pub(super) fn step(&mut self, response: &[u8]) -> Step {
        match std::mem::replace(&mut self.0, State::Over) {
            State::Start if response.is_empty() => {
                self.0 = State::User;
                Step::Challenge(b"User Name\0".to_vec())
            }
            State::Start | State::User => match text(response) {
                Ok(user) if user.is_empty() || user.contains('\0') => {
                    Step::Failed(SaslError::Malformed)
                }
                Ok(user) => {
                    self.0 = State::Password(user);
                    Step::Challenge(b"Password\0".to_vec())
                }
                Err(error) => Step::Failed(error),
            },
            State::Password(user) => match text(response) {
                Ok(password) if password.is_empty() || password.contains('\0') => {
                    Step::Failed(SaslError::Malformed)
                }
                Ok(password) => Step::Done(Credentials {
                    user,
                    acting_as: None,
                    proof: Proof::Password(Secret::new(password)),
                }),
                Err(error) => Step::Failed(error),
            },
            State::Over => Step::Failed(SaslError::Over),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finish(login: &mut Login) -> (String, String) {
        match login.step(b"secret") {
            Step::Done(Credentials {
                user,
                proof: Proof::Password(password),
                ..
            }) => (user, password.expose().clone()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn two_prompts() {
        let mut login = Login::default();
        assert!(matches!(login.step(b""), Step::Challenge(c) if c == b"User Name\0"));
        assert!(matches!(login.step(b"tim"), Step::Challenge(c) if c == b"Password\0"));
        assert_eq!(finish(&mut login), ("tim".to_owned(), "secret".to_owned()));
        assert!(matches!(login.step(b"x"), Step::Failed(SaslError::Over)));
    }

    #[test]
    fn the_user_name_may_come_first() {
        let mut login = Login::default();
        assert!(matches!(login.step(b"tim"), Step::Challenge(c) if c == b"Password\0"));
        assert_eq!(finish(&mut login).0, "tim");
    }

    #[test]
    fn empty_answers_fail() {
        let mut login = Login::default();
        login.step(b"");
        assert!(matches!(
            login.step(b""),
            Step::Failed(SaslError::Malformed)
        ));
        let mut login = Login::default();
        login.step(b"tim");
        assert!(matches!(
            login.step(b""),
            Step::Failed(SaslError::Malformed)
        ));
    }
}
