//! Whom to trust.

use std::sync::Arc;

use restante_auth::sasl::Channel;
use restante_auth::sasl::binding::{EXPORTER_LABEL, server_end_point};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_rustls::TlsConnector;

use crate::connection::Io;
use crate::error::{Error, Result};

/// How to check a server's certificate. Cheap to clone.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ClientConfig>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    /// Trusts servers whose certificates lead to one of these, in PEM: a system's bundle
    /// (`/etc/ssl/certs/ca-certificates.crt`), or a self-signed certificate itself.
    ///
    /// # Errors
    /// There is no certificate in it, or one that cannot be read.
    pub fn with_roots(pem: &[u8]) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|_| Error::Misuse("the roots are no PEM"))?;
            // Bundles hold certificates that rustls refuses; the others count.
            drop(roots.add(certificate));
        }
        if roots.is_empty() {
            return Err(Error::Misuse("no root certificate was given"));
        }
        let config = builder()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            config: Arc::new(config),
        })
    }

    /// Trusts any server whatever: for tests. Nothing is encrypted for anybody in particular.
    ///
    /// # Errors
    /// The cryptography of this build lacks a usable protocol version.
    pub fn danger_accept_any() -> Result<Self> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = builder()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AcceptAny(provider)))
            .with_no_client_auth();
        Ok(Self {
            config: Arc::new(config),
        })
    }

    /// With a configuration of one's own.
    pub fn with_config(config: Arc<ClientConfig>) -> Self {
        Self { config }
    }

    /// The encrypted stream, and what a login on it can be bound to.
    pub(crate) async fn connect(
        &self,
        io: Box<dyn Io>,
        server_name: &str,
    ) -> Result<(Box<dyn Io>, Channel)> {
        let name = ServerName::try_from(server_name.to_owned())
            .map_err(|_| Error::Misuse("the server's name is not one that TLS can check"))?;
        let stream = TlsConnector::from(Arc::clone(&self.config))
            .connect(name, io)
            .await?;
        let channel = channel(stream.get_ref().1);
        Ok((Box::new(stream), channel))
    }
}

/// What a login on this connection can be bound to. The exporter counts in TLS 1.3 only (RFC 9266 §4.2).
fn channel(tls: &rustls::ClientConnection) -> Channel {
    let exporter = match tls.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_3) => tls
            .export_keying_material([0u8; 32], EXPORTER_LABEL, None)
            .ok()
            .map(|material| material.to_vec()),
        _ => None,
    };
    let server = tls.peer_certificates().and_then(|chain| chain.first());
    Channel {
        exporter,
        end_point: server.and_then(|leaf| server_end_point(leaf)),
        certificate: None,
    }
}

fn builder() -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    Ok(ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?)
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
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
