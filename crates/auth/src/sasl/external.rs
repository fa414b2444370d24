//! EXTERNAL (RFC 4422 appendix A): what TLS has verified is the proof.

use super::{Channel, ClientCertificate, Credentials, Proof, SaslError, Step, text};

#[derive(Debug)]
pub(super) struct External {
    certificate: Option<ClientCertificate>,
    over: bool,
}

impl External {
    pub(super) fn new(channel: &Channel) -> External {
        External {
            certificate: channel.certificate.clone(),
            over: false,
        }
    }

    /// The response is the authorization identity, or empty: whoever the certificate is for.
    pub(super) fn step(&mut self, response: &[u8]) -> Step {
        if std::mem::replace(&mut self.over, true) {
            return Step::Failed(SaslError::Over);
        }
        let Some(certificate) = self.certificate.take() else {
            return Step::Failed(SaslError::Refused("no client certificate"));
        };
        match text(response) {
            Ok(name) if name.contains('\0') => Step::Failed(SaslError::Malformed),
            Ok(name) => Step::Done(Credentials {
                user: String::new(),
                acting_as: (!name.is_empty()).then_some(name),
                proof: Proof::Certificate(certificate),
            }),
            Err(error) => Step::Failed(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel() -> Channel {
        Channel {
            certificate: Some(ClientCertificate {
                names: vec!["fred@example.com".to_owned()],
                ..ClientCertificate::default()
            }),
            ..Channel::default()
        }
    }

    /// The examples of RFC 4422 appendix A.4.
    #[test]
    fn the_examples_of_the_rfc() {
        for (response, wanted) in [
            (&b""[..], None),
            (b"fred@example.com", Some("fred@example.com")),
        ] {
            match External::new(&channel()).step(response) {
                Step::Done(credentials) => assert_eq!(credentials.acting_as.as_deref(), wanted),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn without_a_certificate_nobody_gets_in() {
        assert!(matches!(
            External::new(&Channel::default()).step(b"fred"),
            Step::Failed(SaslError::Refused(_))
        ));
        assert!(matches!(
            External::new(&channel()).step(b"fred\0"),
            Step::Failed(SaslError::Malformed)
        ));
    }
}
