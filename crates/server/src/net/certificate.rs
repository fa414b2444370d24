//! What a TLS connection says of both its ends.

use aws_lc_rs::digest;
use restante_auth::sasl::binding::{EXPORTER_LABEL, server_end_point};
use restante_session::{Channel, ClientCertificate};
use rustls::ServerConnection;
use rustls::sign::CertifiedKey;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// The most names of one certificate that are looked at.
const NAMES_MAX: usize = 32;

/// What a login on this connection can be bound to, and the client's certificate, which the handshake
/// has verified if there is one.
pub(super) fn channel(tls: &ServerConnection, served: Option<&CertifiedKey>) -> Channel {
    let exporter = match tls.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_3) => tls
            .export_keying_material([0u8; 32], EXPORTER_LABEL, None)
            .ok()
            .map(|material| material.to_vec()),
        _ => None,
    };
    let leaf = served.and_then(|served| served.cert.first());
    let client = tls.peer_certificates().and_then(|chain| chain.first());
    Channel {
        exporter,
        end_point: leaf.and_then(|leaf| server_end_point(leaf)),
        certificate: client.and_then(|leaf| client_certificate(leaf)),
    }
}

/// The host names of a certificate in DER, in lower case.
pub(crate) fn host_names(der: &[u8]) -> Vec<String> {
    let Ok((_, certificate)) = X509Certificate::from_der(der) else {
        return Vec::new();
    };
    let Ok(Some(extension)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    let names = extension.value.general_names.iter();
    names
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        })
        .collect()
}

/// The names of a certificate in DER; `None` if it cannot be read.
pub(crate) fn client_certificate(der: &[u8]) -> Option<ClientCertificate> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let mut names: Vec<String> = Vec::new();
    if let Ok(Some(extension)) = certificate.subject_alternative_name() {
        let general = &extension.value.general_names;
        names.extend(general.iter().filter_map(|name| match name {
            GeneralName::RFC822Name(name) | GeneralName::DNSName(name) => Some((*name).to_owned()),
            _ => None,
        }));
    }
    let common = certificate.subject().iter_common_name();
    names.extend(common.filter_map(|name| Some(name.as_str().ok()?.to_owned())));
    names.retain(|name| !name.is_empty() && !name.contains('\0'));
    names.truncate(NAMES_MAX);
    let fingerprint = digest::digest(&digest::SHA256, der);
    let hex = fingerprint
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"));
    Some(ClientCertificate {
        names,
        subject: certificate.subject().to_string(),
        fingerprint: hex.collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    #[test]
    fn names_of_a_certificate() {
        let mut params = CertificateParams::new(vec!["host.example".to_owned()]).unwrap();
        let mail = SanType::Rfc822Name("ada@example.org".try_into().unwrap());
        params.subject_alt_names.insert(0, mail);
        params.distinguished_name.push(DnType::CommonName, "ada");
        let key = KeyPair::generate().unwrap();
        let der = params.self_signed(&key).unwrap();
        let certificate = client_certificate(der.der()).unwrap();
        assert_eq!(
            certificate.names,
            ["ada@example.org", "host.example", "ada"]
        );
        assert_eq!(certificate.fingerprint.len(), 64);
        assert_eq!(client_certificate(b"0"), None);
    }

    /// Both ends of a handshake see the same, and the server the client's verified names.
    #[tokio::test]
    async fn both_ends_agree() {
        use crate::net::Stream;
        use crate::tls::TlsSetup;
        use restante_session::Io as _;
        use rustls::crypto::aws_lc_rs::default_provider;
        use rustls::server::WebPkiClientVerifier;
        use rustls::{ClientConfig, RootCertStore, ServerConfig};
        use rustls_pki_types::{PrivateKeyDer, ServerName};
        use std::sync::Arc;

        let make = |name: &str| {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
            let certificate = params.self_signed(&key).unwrap();
            let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
            (certificate.der().clone(), key)
        };
        let (server, client) = (make("localhost"), make("ada.example"));
        let roots = |der: &rustls_pki_types::CertificateDer<'static>| {
            let mut roots = RootCertStore::empty();
            roots.add(der.clone()).unwrap();
            Arc::new(roots)
        };
        let provider = Arc::new(default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(roots(&client.0), Arc::clone(&provider));
        let leaf = server.0.clone();
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(vec![leaf.clone()], server.1)
            .unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepted = tokio::spawn(async move {
            let (tcp, _) = listener.accept().await.unwrap();
            let usual = Arc::new(config);
            let challenge = Arc::clone(&usual);
            Stream::Plain(tcp, Some(Arc::new(TlsSetup { usual, challenge })))
                .into_tls()
                .await
                .unwrap()
        });
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots(&leaf))
            .with_client_auth_cert(vec![client.0], client.1)
            .unwrap();
        let tcp = tokio::net::TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let tls = tokio_rustls::TlsConnector::from(Arc::new(config));
        let tls = tls.connect(name, tcp).await.unwrap();
        let channel = accepted.await.unwrap().channel();
        assert_eq!(
            channel.certificate.unwrap().names,
            ["ada.example", "rcgen self signed cert"]
        );
        assert_eq!(channel.end_point, server_end_point(&leaf));
        let exported = tls
            .get_ref()
            .1
            .export_keying_material([0u8; 32], EXPORTER_LABEL, None);
        assert_eq!(channel.exporter.unwrap(), exported.unwrap());
    }
}
