//! Channel binding: what ties a login to the TLS connection it is made on (RFC 5056).

use aws_lc_rs::digest;

use super::ClientCertificate;

/// The label of the exporter (RFC 9266 §2).
pub const EXPORTER_LABEL: &[u8] = b"EXPORTER-Channel-Binding";

/// What a mechanism may know of the connection that it runs on.
#[derive(Debug, Clone, Default)]
pub struct Channel {
    /// The keying material of the exporter: of TLS 1.3 only, as RFC 9266 §4.2 forbids it where the
    /// extended master secret is not certain.
    pub exporter: Option<Vec<u8>>,
    /// The hash of the server's certificate, see [`server_end_point`].
    pub end_point: Option<Vec<u8>>,
    /// The client's certificate, if TLS has verified one.
    pub certificate: Option<ClientCertificate>,
}

/// The kinds of channel binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binding {
    /// RFC 9266.
    TlsExporter,
    /// RFC 5929 §4.
    TlsServerEndPoint,
}

impl Binding {
    /// Both, the stronger first.
    pub const ALL: [Binding; 2] = [Binding::TlsExporter, Binding::TlsServerEndPoint];

    /// The registered name.
    pub fn name(self) -> &'static str {
        match self {
            Binding::TlsExporter => "tls-exporter",
            Binding::TlsServerEndPoint => "tls-server-end-point",
        }
    }
}

impl Channel {
    /// The binding's data, if this connection has it.
    pub fn data(&self, binding: Binding) -> Option<&[u8]> {
        match binding {
            Binding::TlsExporter => self.exporter.as_deref(),
            Binding::TlsServerEndPoint => self.end_point.as_deref(),
        }
    }

    /// Whether a login can be bound to this connection at all.
    pub fn can_bind(&self) -> bool {
        Binding::ALL
            .iter()
            .any(|binding| self.data(*binding).is_some())
    }
}

/// The channel binding `tls-server-end-point` of a certificate in DER (RFC 5929 §4.1): its hash, by
/// the hash function of its signature, SHA-256 for MD5 and SHA-1. `None` where the signature has no
/// hash function of its own (Ed25519) or is not known.
pub fn server_end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let (0x30, content, _) = der_value(certificate)? else {
        return None;
    };
    // tbsCertificate, then signatureAlgorithm.
    let (_, _, rest) = der_value(content)?;
    let (0x30, algorithm, _) = der_value(rest)? else {
        return None;
    };
    let (0x06, oid, parameters) = der_value(algorithm)? else {
        return None;
    };
    let hash = match oid {
        // RSASSA-PSS names its hash in the parameters; none is SHA-1.
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a] => pss_hash(parameters),
        // RSA PKCS #1 with MD5, SHA-1, SHA-256, SHA-384, SHA-512.
        [
            0x2a,
            0x86,
            0x48,
            0x86,
            0xf7,
            0x0d,
            0x01,
            0x01,
            0x04 | 0x05 | 0x0b,
        ] => &digest::SHA256,
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0c] => &digest::SHA384,
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0d] => &digest::SHA512,
        // ECDSA with SHA-1, SHA-256, SHA-384, SHA-512.
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01] => &digest::SHA256,
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02] => &digest::SHA256,
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03] => &digest::SHA384,
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x04] => &digest::SHA512,
        _ => return None,
    };
    Some(digest::digest(hash, certificate).as_ref().to_vec())
}

fn pss_hash(parameters: &[u8]) -> &'static digest::Algorithm {
    // 2.16.840.1.101.3.4.2.n; the first is hashAlgorithm.
    const SHA2: [u8; 8] = [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02];
    let mut found = parameters.windows(9).filter(|oid| oid.starts_with(&SHA2));
    match found.next().and_then(|oid| oid.last()) {
        Some(2) => &digest::SHA384,
        Some(3) => &digest::SHA512,
        _ => &digest::SHA256,
    }
}

/// Tag, content and what follows of the first DER value.
fn der_value(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, first) = (*der.first()?, *der.get(1)?);
    let (length, start) = match first {
        0..=0x7f => (usize::from(first), 2),
        // 0x80 would be a length that is not told.
        0x80 => return None,
        0x81..=0x84 => {
            let bytes = usize::from(first & 0x7f);
            let digits = der.get(2..2 + bytes)?;
            let length = digits.iter().fold(0, |sum, b| sum << 8 | usize::from(*b));
            (length, 2 + bytes)
        }
        _ => return None,
    };
    let end = start.checked_add(length)?;
    Some((tag, der.get(start..end)?, der.get(end..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The skeleton of a certificate: tbsCertificate, signatureAlgorithm with this OID, signature.
    fn skeleton(oid: &[u8]) -> Vec<u8> {
        let mut algorithm = vec![0x06, oid.len() as u8];
        algorithm.extend_from_slice(oid);
        let mut content = vec![0x30, 2, 5, 0, 0x30, algorithm.len() as u8];
        content.extend(algorithm);
        content.extend([0x03, 1, 0]);
        let mut all = vec![0x30, content.len() as u8];
        all.extend(content);
        all
    }

    #[test]
    fn the_hash_is_that_of_the_signature() {
        for (oid, bytes) in [
            (
                &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02][..],
                Some(32),
            ),
            (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03], Some(48)),
            (
                &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x05],
                Some(32),
            ),
            (
                &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0d],
                Some(64),
            ),
            (&[0x2b, 0x65, 0x70], None),
        ] {
            let hash = server_end_point(&skeleton(oid));
            assert_eq!(hash.map(|hash| hash.len()), bytes, "{oid:02x?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_certificate_panics(der in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..80)) {
            let _ = server_end_point(&der);
        }
    }
}
