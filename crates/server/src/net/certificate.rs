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
}
