//! What proves to the authority that a domain is ours: a text at an address of HTTP (RFC 8555 §8.3), or a
//! certificate in a handshake of TLS (RFC 8737).

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::PrivateKeyDer;

use crate::tls::TlsError;

/// The protocol that the authority asks for, alone (RFC 8737 §6.2).
pub(crate) const ACME_TLS: &[u8] = b"acme-tls/1";

/// The challenges that are running.
#[derive(Debug, Default)]
pub(crate) struct Challenges(Mutex<Answers>);

#[derive(Default)]
struct Answers {
    /// By token.
    http: HashMap<String, String>,
    /// By domain.
    tls: HashMap<String, Arc<CertifiedKey>>,
}

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answers").finish_non_exhaustive()
    }
}

/// A challenge that can be answered as long as this lives.
pub(crate) struct Running {
    challenges: Arc<Challenges>,
    key: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut answers = self.challenges.lock();
        answers.http.remove(&self.key);
        answers.tls.remove(&self.key);
    }
}

impl Challenges {
    fn lock(&self) -> std::sync::MutexGuard<'_, Answers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn running(self: &Arc<Self>, key: String) -> Running {
        let challenges = Arc::clone(self);
        Running { challenges, key }
    }

    /// Begins to answer one over HTTP.
    pub(super) fn http(self: &Arc<Self>, token: &str, answer: &str) -> Running {
        let token = token.to_owned();
        self.lock().http.insert(token.clone(), answer.to_owned());
        self.running(token)
    }

    /// Begins to answer one over TLS.
    pub(super) fn tls(self: &Arc<Self>, domain: &str, digest: &[u8]) -> Result<Running, TlsError> {
        let domain = domain.to_ascii_lowercase();
        let key = Arc::new(certificate(&domain, digest)?);
        self.lock().tls.insert(domain.clone(), key);
        Ok(self.running(domain))
    }

    /// The answer for a token.
    pub(super) fn of_token(&self, token: &str) -> Option<String> {
        self.lock().http.get(token).cloned()
    }
}

impl ResolvesServerCert for Challenges {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name()?.to_ascii_lowercase();
        self.lock().tls.get(&name).cloned()
    }
}

impl From<TlsError> for super::Failure {
    fn from(error: TlsError) -> super::Failure {
        super::Failure::new(error)
    }
}

/// A self-signed certificate with the answer in it (RFC 8737 §3).
fn certificate(domain: &str, digest: &[u8]) -> Result<CertifiedKey, TlsError> {
    let mut params = CertificateParams::new(vec![domain.to_owned()])?;
    let answer = CustomExtension::new_acme_identifier(digest);
    params.custom_extensions = vec![answer];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    // Not as a certificate for clients is loaded: that one may have no critical extension that is not known.
    let key = aws_lc_rs::default_provider()
        .key_provider
        .load_private_key(key)?;
    Ok(CertifiedKey::new(vec![certificate.der().clone()], key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use x509_parser::prelude::{FromDer, X509Certificate};

    #[test]
    fn answers_go_with_their_challenge() {
        let challenges = Arc::new(Challenges::default());
        let running = challenges.http("token", "token.thumbprint");
        assert_eq!(
            challenges.of_token("token").as_deref(),
            Some("token.thumbprint")
        );
        assert_eq!(challenges.of_token("other"), None);
        drop(running);
        assert_eq!(challenges.of_token("token"), None);
        let running = challenges.tls("Mail.example.org", &[7; 32]).unwrap();
        assert!(challenges.lock().tls.contains_key("mail.example.org"));
        drop(running);
        assert!(challenges.lock().tls.is_empty());
    }

    #[test]
    fn the_certificate_has_the_digest_in_a_critical_extension() {
        let made = certificate("mail.example.org", &[7; 32]).unwrap();
        let (_, parsed) = X509Certificate::from_der(&made.cert[0]).unwrap();
        // id-pe-acmeIdentifier
        let oid = "1.3.6.1.5.5.7.1.31";
        let found = parsed.extensions().iter();
        let mut found = found.filter(|one| one.oid.to_id_string() == oid);
        let extension = found.next().unwrap();
        assert!(extension.critical);
        assert_eq!(extension.value, [&[4, 32][..], &[7; 32]].concat());
        assert_eq!(crate::net::host_names(&made.cert[0]), ["mail.example.org"]);
    }
}
