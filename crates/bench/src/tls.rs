//! TLS that trusts anybody: this measures, it keeps no secrets. And what the library itself can do.

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, Error, ServerConfig};
use rustls::{ServerConnection, SignatureScheme};

/// The configuration that all connections share.
pub(crate) fn config() -> io::Result<&'static Arc<ClientConfig>> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    if let Some(config) = CONFIG.get() {
        return Ok(config);
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AcceptAny(provider)))
        .with_no_client_auth();
    // Every handshake is to be a whole one.
    config.resumption = rustls::client::Resumption::disabled();
    Ok(CONFIG.get_or_init(|| Arc::new(config)))
}

/// A server with a certificate of its own (ECDSA P-256), to measure what TLS can do. Tickets are as Restante's.
pub(crate) fn server_config() -> io::Result<Arc<ServerConfig>> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]);
    let made = made.map_err(io::Error::other)?;
    let key =
        PrivateKeyDer::try_from(made.signing_key.serialize_der()).map_err(io::Error::other)?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.into()], key)
        .map_err(io::Error::other)?;
    config.ticketer = aws_lc_rs::Ticketer::new().map_err(io::Error::other)?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 1;
    Ok(Arc::new(config))
}

pub(crate) fn any_name() -> io::Result<ServerName<'static>> {
    ServerName::try_from("localhost").map_err(io::Error::other)
}

/// How many handshakes the library makes in a second of the server's processor time: both ends in memory, the
/// client's time left out. TLS 1.3, nothing resumed, one ticket, a certificate with ECDSA P-256: what
/// Restante does by itself.
pub(crate) fn handshakes(time: Duration) -> io::Result<f64> {
    let server = server_config()?;
    let client = config()?;
    let begin = Instant::now();
    let (mut count, mut spent) = (0u32, Duration::ZERO);
    // The first ones make what later ones find.
    for _ in 0..10 {
        handshake(client, &server)?;
    }
    while begin.elapsed() < time {
        spent += handshake(client, &server)?;
        count += 1;
    }
    Ok(f64::from(count) / spent.as_secs_f64())
}

/// One handshake, to its last ticket; the time that the server's end needed.
fn handshake(client: &Arc<ClientConfig>, server: &Arc<ServerConfig>) -> io::Result<Duration> {
    let mut client =
        ClientConnection::new(Arc::clone(client), any_name()?).map_err(io::Error::other)?;
    let mut spent = Duration::ZERO;
    let begin = thread_time();
    let mut server = ServerConnection::new(Arc::clone(server)).map_err(io::Error::other)?;
    spent += thread_time().saturating_sub(begin);
    let mut buffer = Vec::new();
    while client.is_handshaking() || server.is_handshaking() || server.wants_write() {
        buffer.clear();
        while client.wants_write() {
            client.write_tls(&mut buffer)?;
        }
        let begin = thread_time();
        let mut rest = &buffer[..];
        while !rest.is_empty() {
            server.read_tls(&mut rest)?;
            server.process_new_packets().map_err(io::Error::other)?;
        }
        buffer.clear();
        while server.wants_write() {
            server.write_tls(&mut buffer)?;
        }
        spent += thread_time().saturating_sub(begin);
        let mut rest = &buffer[..];
        while !rest.is_empty() {
            client.read_tls(&mut rest)?;
            client.process_new_packets().map_err(io::Error::other)?;
        }
    }
    Ok(spent)
}

/// Processor time of this thread.
fn thread_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

#[derive(Debug)]
struct AcceptAny(Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptAny {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_makes_whole_handshakes() {
        let (client, server) = (config().unwrap(), server_config().unwrap());
        assert!(handshake(client, &server).unwrap() > Duration::ZERO);
        assert!(handshakes(Duration::from_millis(20)).unwrap() > 1.0);
    }
}
