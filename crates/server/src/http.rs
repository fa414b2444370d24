//! A small client of HTTP: one request, one answer in JSON, under limits.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use restante_auth::Secret;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::Value;
use thiserror::Error;
use tokio::sync::Semaphore;
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// The system's trusted certificates, where systems have them.
const SYSTEM_ROOTS: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];
/// The largest answer.
const BODY_BYTES_MAX: u64 = 1 << 20;
/// Requests at the same time.
const REQUESTS_MAX: usize = 16;

/// Why there is no answer.
#[derive(Debug, Error)]
pub(crate) enum HttpError {
    /// Only https, and http on this machine.
    #[error("{0} is neither https nor on this machine")]
    Address(String),
    /// No answer.
    #[error("{0}")]
    Transport(String),
    /// An answer that is no success.
    #[error("answered with status {0}")]
    Status(u16),
    /// An answer that is no JSON.
    #[error("the answer is no JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// The trusted certificates cannot be read.
    #[error("{0}")]
    Roots(String),
}

/// A client. A cheap clone.
#[derive(Debug, Clone)]
pub(crate) struct Http {
    agent: Agent,
    running: Arc<Semaphore>,
}

impl Http {
    /// Trusts the certificates in `roots` (PEM), or the system's if it is empty.
    pub(crate) fn new(roots: &Path, timeout: Duration) -> Result<Http, HttpError> {
        let certificates = trusted(roots)?;
        let certificates = certificates.iter();
        let certificates = certificates
            .map(|der| Certificate::from_der(der.as_ref()).to_owned())
            .collect();
        let tls = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(Arc::new(aws_lc_rs::default_provider()))
            .root_certs(RootCerts::Specific(Arc::new(certificates)))
            .build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .timeout_global(Some(timeout))
            // Where a request goes is the operator's and the issuer's to say, nobody else's.
            .max_redirects(0)
            .http_status_as_error(false)
            .proxy(None)
            .max_response_header_size(32 << 10)
            .user_agent("Restante")
            .accept("application/json")
            .build();
        Ok(Http {
            agent: config.into(),
            running: Arc::new(Semaphore::new(REQUESTS_MAX)),
        })
    }

    /// GET.
    pub(crate) async fn get(&self, url: &str) -> Result<Value, HttpError> {
        check_address(url)?;
        let (agent, url) = (self.agent.clone(), url.to_owned());
        self.run(move || answer(agent.get(&url).call())).await
    }

    /// POST of a form, with HTTP's Basic authentication.
    pub(crate) async fn post(
        &self,
        url: &str,
        user: &str,
        password: &Secret<String>,
        form: Vec<(&'static str, Secret<String>)>,
    ) -> Result<Value, HttpError> {
        use base64::Engine as _;
        check_address(url)?;
        // RFC 6749 §2.3.1: both are form-encoded first.
        let pair = Secret::new(format!(
            "{}:{}",
            form_text(user),
            form_text(password.expose())
        ));
        let pair = base64::engine::general_purpose::STANDARD.encode(pair.expose());
        let basic = Secret::new(format!("Basic {pair}"));
        let (agent, url) = (self.agent.clone(), url.to_owned());
        self.run(move || {
            let fields = form
                .iter()
                .map(|(key, value)| (*key, value.expose().as_str()));
            let request = agent.post(&url).header("Authorization", basic.expose());
            answer(request.send_form(fields))
        })
        .await
    }

    /// Any request, and whatever its answer is.
    pub(crate) async fn exchange(
        &self,
        request: ureq::http::Request<Vec<u8>>,
    ) -> Result<ureq::http::Response<Vec<u8>>, HttpError> {
        check_address(&request.uri().to_string())?;
        let agent = self.agent.clone();
        self.run(move || {
            let transport = |error: ureq::Error| HttpError::Transport(error.to_string());
            let response = match request.body().is_empty() {
                true => agent.run(request.map(drop)),
                false => agent.run(request),
            };
            let (parts, mut body) = response.map_err(transport)?.into_parts();
            let body = body.with_config().limit(BODY_BYTES_MAX).read_to_vec();
            let body = body.map_err(transport)?;
            Ok(ureq::http::Response::from_parts(parts, body))
        })
        .await
    }

    /// On a thread that may wait; only so many at a time.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, HttpError> + Send + 'static,
    ) -> Result<T, HttpError> {
        let permit = Arc::clone(&self.running).acquire_owned().await;
        let permit = permit.map_err(|error| HttpError::Transport(error.to_string()))?;
        let work = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work()
        });
        work.await
            .unwrap_or_else(|error| Err(HttpError::Transport(error.to_string())))
    }
}

fn answer(
    response: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
) -> Result<Value, HttpError> {
    let transport = |error: ureq::Error| HttpError::Transport(error.to_string());
    let mut response = response.map_err(transport)?;
    let status = response.status();
    if !status.is_success() {
        return Err(HttpError::Status(status.as_u16()));
    }
    let body = response.body_mut().with_config().limit(BODY_BYTES_MAX);
    Ok(serde_json::from_slice(
        &body.read_to_vec().map_err(transport)?,
    )?)
}

/// Whether a request may go there: what is asked for decides who gets in.
pub(crate) fn check_address(url: &str) -> Result<(), HttpError> {
    let refused = || HttpError::Address(url.to_owned());
    let parsed: ureq::http::Uri = url.parse().map_err(|_| refused())?;
    let local = matches!(parsed.host(), Some("localhost" | "127.0.0.1" | "[::1]"));
    match (parsed.scheme_str(), parsed.host()) {
        (Some("https"), Some(_)) => Ok(()),
        (Some("http"), Some(_)) if local => Ok(()),
        _ => Err(refused()),
    }
}

fn form_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(byte.into())
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// The certificates in `roots` (PEM), or the system's if it is empty.
pub(crate) fn trusted(roots: &Path) -> Result<Vec<CertificateDer<'static>>, HttpError> {
    let system = SYSTEM_ROOTS
        .iter()
        .map(Path::new)
        .find(|path| path.exists());
    let path = match (roots.as_os_str().is_empty(), system) {
        (false, _) => roots,
        (true, Some(system)) => system,
        // Only this machine can be asked then.
        (true, None) => return Ok(Vec::new()),
    };
    let failed =
        |error: &dyn std::fmt::Display| HttpError::Roots(format!("{}: {error}", path.display()));
    let pem = std::fs::read(path).map_err(|error| failed(&error))?;
    CertificateDer::pem_slice_iter(&pem)
        .map(|der| der.map_err(|error| failed(&error)))
        .collect()
}

/// What a client of TLS other than HTTP's needs: it trusts the same certificates.
pub(crate) fn client_tls(roots: &Path) -> Result<Arc<rustls::ClientConfig>, String> {
    let mut store = rustls::RootCertStore::empty();
    let trusted = trusted(roots).map_err(|error| error.to_string())?;
    let (_, ignored) = store.add_parsable_certificates(trusted);
    if store.is_empty() && !roots.as_os_str().is_empty() {
        return Err(format!("{}: has no certificates", roots.display()));
    }
    if ignored > 0 {
        tracing::debug!(ignored, "certificates that cannot be used");
    }
    let config =
        rustls::ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(store)
            .with_no_client_auth();
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_and_this_machine() {
        for good in [
            "https://id.example/x",
            "http://localhost:8080/x",
            "http://127.0.0.1/x",
            "http://[::1]:1/",
        ] {
            assert!(check_address(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "http://id.example/x",
            "file:///etc/passwd",
            "ftp://localhost/",
            "http://localhost.example/",
            "/x",
        ] {
            assert!(check_address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn form_encoding() {
        assert_eq!(form_text("a b:ä~"), "a%20b%3A%C3%A4~");
    }
}
