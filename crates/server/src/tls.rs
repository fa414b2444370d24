//! Certificates and TLS.
//!
//! The certificate in use can be exchanged while the server runs: new connections get the new one.
//! Without a configured certificate a self-signed one is made in the data directory.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::SystemTime;

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, SanType};
use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::{
    ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::acme::{self, ACME_TLS, Challenges};
use crate::config::{Config, TlsVersion};
use crate::files;
use crate::net::host_names;
use crate::time::{civil, days, unix_now};

/// How long a self-signed certificate is good for. Some clients refuse more than 825 days.
const SELF_SIGNED_DAYS: i64 = 820;

/// A self-signed certificate is renewed when it has fewer days left.
const RENEW_DAYS: i64 = 14;

/// IMAP's name where protocols are negotiated (IANA, TLS Application-Layer Protocol Negotiation Protocol IDs).
const IMAP: &[u8] = b"imap";

/// The common name by which a certificate made here is known again.
const SELF_SIGNED_NAME: &str = "Restante self-signed certificate";

/// Why there is no certificate to serve with.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error("{}: {reason}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The self-signed certificate could not be made.
    #[error("a self-signed certificate could not be made: {0}")]
    SelfSigned(#[from] rcgen::Error),
    /// The TLS library refused its configuration.
    #[error("TLS: {0}")]
    Library(#[from] rustls::Error),
}

impl TlsError {
    /// Whether a file is there and closed to this process.
    pub(crate) fn is_permission(&self) -> bool {
        matches!(self, TlsError::File { source, .. } if source.kind() == io::ErrorKind::PermissionDenied)
    }
}

/// Where certificate and key lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain, in PEM.
    pub certificate: PathBuf,
    /// The private key, in PEM.
    pub key: PathBuf,
    /// Made here, and renewed here.
    pub self_signed: bool,
}

impl CertificateFiles {
    /// The files of a self-signed certificate in the data directory.
    pub fn self_signed(data: &Path) -> CertificateFiles {
        let dir = data.join("tls");
        CertificateFiles {
            certificate: dir.join("cert.pem"),
            key: dir.join("key.pem"),
            self_signed: true,
        }
    }
}

/// The certificate in use and where it came from.
#[derive(Debug)]
pub struct Certificates {
    files: CertificateFiles,
    hostname: String,
    current: RwLock<Current>,
}

#[derive(Debug)]
struct Current {
    key: Arc<CertifiedKey>,
    /// The host names that it is for, in lower case; some begin with `*.`.
    names: Vec<String>,
    /// Change times of both files when they were read.
    stamp: [Option<SystemTime>; 2],
}

impl Current {
    /// Whether a name is one of the certificate's (RFC 6125 §6.4: a `*` stands for one label).
    fn is_for(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        let above = name.split_once('.').map(|(_, above)| above);
        self.names.iter().any(|own| match own.strip_prefix("*.") {
            Some(domain) => above == Some(domain),
            None => *own == name,
        })
    }
}

fn names_of(key: &CertifiedKey) -> Vec<String> {
    let leaf = key.cert.first();
    leaf.map(|leaf| host_names(leaf)).unwrap_or_default()
}

impl Certificates {
    /// Reads the files, making a self-signed certificate first if it is ours to make.
    ///
    /// # Errors
    /// Files that are missing, unreadable, not PEM, or a key that does not belong to the certificate.
    pub fn open(files: CertificateFiles, hostname: &str) -> Result<Certificates, TlsError> {
        let key = prepare(&files, hostname)?;
        let stamp = stamp(&files);
        let current = RwLock::new(Current {
            names: names_of(&key),
            key: Arc::new(key),
            stamp,
        });
        Ok(Certificates {
            files,
            hostname: hostname.to_owned(),
            current,
        })
    }

    /// Where the certificate lies.
    pub fn files(&self) -> &CertificateFiles {
        &self.files
    }

    /// Reads the files again if they changed (or `always`). On an error the certificate in use
    /// stays in use. Returns whether there is a new one.
    ///
    /// # Errors
    /// As [`Certificates::open`].
    pub fn reload(&self, always: bool) -> Result<bool, TlsError> {
        let before = self
            .current
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .stamp;
        let now = stamp(&self.files);
        if !always && now == before && !self.due() {
            return Ok(false);
        }
        let result = prepare(&self.files, &self.hostname);
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        // Remembered on failure, too: a broken file is reported once, not every minute.
        current.stamp = stamp(&self.files);
        let key = result?;
        current.names = names_of(&key);
        current.key = Arc::new(key);
        Ok(true)
    }

    fn due(&self) -> bool {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        self.files.self_signed
            && current
                .key
                .cert
                .first()
                .is_some_and(|certificate| renewal_due(certificate))
    }
}

impl Certificates {
    fn key(&self) -> Arc<CertifiedKey> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&current.key)
    }
}

/// All certificates of a server: which one a client gets depends on the name that it asks for (SNI).
#[derive(Debug)]
pub struct CertificateSet {
    /// For who asks for no name, or for one that no other has.
    default: Certificates,
    others: Vec<Certificates>,
    /// The one that an ACME authority gave, once there is one. For its names, and in place of a self-signed
    /// default.
    acme: OnceLock<Certificates>,
    /// What is proved to that authority at the moment.
    challenges: Arc<Challenges>,
    /// The authorities of client certificates, if they are asked for.
    client_roots: Option<RootCertStore>,
}

/// The certificates that are configured, read while the process may still read them.
#[derive(Debug)]
pub(crate) struct Configured {
    default: Option<Certificates>,
    others: Vec<Certificates>,
    client_roots: Option<RootCertStore>,
}

impl Configured {
    /// Reads the files.
    pub(crate) fn read(config: &Config) -> Result<Configured, TlsError> {
        let open = |certificate: &Path, key: &Path| {
            let files = CertificateFiles {
                certificate: certificate.to_owned(),
                key: key.to_owned(),
                self_signed: false,
            };
            Certificates::open(files, "")
        };
        let tls = &config.tls;
        let others = tls.certificates.iter();
        let others = others.map(|other| open(&other.certificate, &other.key));
        Ok(Configured {
            default: match tls.certificate.as_os_str().is_empty() {
                true => None,
                false => Some(open(&tls.certificate, &tls.key)?),
            },
            others: others.collect::<Result<_, _>>()?,
            client_roots: match tls.client_ca.as_os_str().is_empty() {
                true => None,
                false => Some(roots(&tls.client_ca)?),
            },
        })
    }

    /// With a self-signed certificate in the data directory if none is configured: the service's user makes
    /// it, so that it is theirs.
    pub(crate) fn complete(self, config: &Config) -> Result<CertificateSet, TlsError> {
        let own = || {
            let files = CertificateFiles::self_signed(&config.data_dir());
            Certificates::open(files, &config.hostname())
        };
        let set = CertificateSet {
            default: self.default.map_or_else(own, Ok)?,
            others: self.others,
            acme: OnceLock::new(),
            challenges: Arc::default(),
            client_roots: self.client_roots,
        };
        let files = acme::certificate_files(&config.data_dir());
        if !config.acme.domains.is_empty() && files.certificate.exists() {
            // Another one can be had.
            if let Err(error) = set.load_acme(files) {
                tracing::error!(%error, "the certificate of the ACME authority cannot be used");
            }
        }
        Ok(set)
    }
}

fn roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in read_chain(path)? {
        roots.add(certificate)?;
    }
    Ok(roots)
}

impl CertificateSet {
    /// Opens the certificates that are configured.
    ///
    /// # Errors
    /// As [`Certificates::open`].
    pub fn open(config: &Config) -> Result<CertificateSet, TlsError> {
        Configured::read(config)?.complete(config)
    }

    /// The certificate for who asks for no name.
    pub fn default_files(&self) -> &CertificateFiles {
        self.default.files()
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Certificates> {
        let default = std::iter::once(&self.default);
        default.chain(&self.others).chain(self.acme.get())
    }

    /// What is proved to an ACME authority at the moment.
    pub(crate) fn challenges(&self) -> &Arc<Challenges> {
        &self.challenges
    }

    /// Reads the certificate of the ACME authority: the next connection gets it.
    pub(crate) fn load_acme(&self, files: CertificateFiles) -> Result<(), TlsError> {
        match self.acme.get() {
            Some(there) => there.reload(true).map(drop),
            None => {
                let new = Certificates::open(files, "")?;
                self.acme.get_or_init(|| new);
                Ok(())
            }
        }
    }

    /// The names of the ACME authority's certificate, and its time; `None` if there is none.
    pub(crate) fn acme_names(&self) -> Option<(Vec<String>, Lifetime)> {
        let current = self.acme.get()?.current.read();
        let current = current.unwrap_or_else(PoisonError::into_inner);
        let lifetime = lifetime(current.key.cert.first()?)?;
        Some((current.names.clone(), lifetime))
    }
}

impl ResolvesServerCert for CertificateSet {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let named = hello.server_name().and_then(|name| {
            let mut all = self.all();
            all.find(|one| one.current.read().is_ok_and(|now| now.is_for(name)))
        });
        let default = match self.default.files.self_signed {
            true => self.acme.get().unwrap_or(&self.default),
            false => &self.default,
        };
        Some(named.unwrap_or(default).key())
    }
}

/// What TLS begins with.
#[derive(Debug)]
pub(crate) struct TlsSetup {
    /// For clients: stateless session tickets, client certificates if there is an authority for them.
    pub(crate) usual: Arc<ServerConfig>,
    /// For an ACME authority that looks at a challenge.
    pub(crate) challenge: Arc<ServerConfig>,
}

/// The configuration of TLS for all listeners.
///
/// # Errors
/// The library refuses the configuration or gives no random bytes; the file of the authority.
pub(crate) fn setup(
    certificates: Arc<CertificateSet>,
    config: &Config,
) -> Result<TlsSetup, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let versions: &[_] = match config.tls.min_version {
        TlsVersion::Tls12 => &[&rustls::version::TLS13, &rustls::version::TLS12],
        TlsVersion::Tls13 => &[&rustls::version::TLS13],
    };
    let builder = || {
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        builder.with_protocol_versions(versions)
    };
    let challenges = Arc::clone(certificates.challenges());
    let challenge = builder()?.with_no_client_auth();
    let mut challenge = challenge.with_cert_resolver(challenges);
    challenge.alpn_protocols = vec![ACME_TLS.to_vec()];
    let builder = match certificates.client_roots.clone() {
        None => builder()?.with_no_client_auth(),
        Some(roots) => {
            // A client without a certificate has other ways to sign in.
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
            let verifier = verifier.allow_unauthenticated().build();
            let unusable = |error: rustls::server::VerifierBuilderError| TlsError::Content {
                path: config.tls.client_ca.clone(),
                reason: error.to_string(),
            };
            builder()?.with_client_cert_verifier(verifier.map_err(unusable)?)
        }
    };
    let mut usual = builder.with_cert_resolver(certificates);
    usual.ticketer = aws_lc_rs::Ticketer::new()?;
    usual.session_storage = Arc::new(NoServerSessionStorage {});
    usual.send_tls13_tickets = 1;
    // RFC 7301 §3.2: who offers protocols, and not this one, is somewhere else than they believe (a browser
    // that was led here). Who offers none is served.
    usual.alpn_protocols = vec![IMAP.to_vec()];
    Ok(TlsSetup {
        usual: Arc::new(usual),
        challenge: Arc::new(challenge),
    })
}

/// When a certificate begins and ends, in seconds from 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lifetime {
    pub(crate) not_before: i64,
    pub(crate) not_after: i64,
}

fn lifetime(der: &[u8]) -> Option<Lifetime> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let validity = certificate.validity();
    Some(Lifetime {
        not_before: validity.not_before.timestamp(),
        not_after: validity.not_after.timestamp(),
    })
}

fn stamp(files: &CertificateFiles) -> [Option<SystemTime>; 2] {
    [&files.certificate, &files.key]
        .map(|path| fs::metadata(path).and_then(|meta| meta.modified()).ok())
}

fn prepare(files: &CertificateFiles, hostname: &str) -> Result<CertifiedKey, TlsError> {
    if files.self_signed {
        let missing = !files.certificate.exists() || !files.key.exists();
        if missing || expired_and_ours(&files.certificate) {
            make_self_signed(files, hostname)?;
        }
    }
    read(files)
}

fn content(path: &Path, reason: &str) -> TlsError {
    TlsError::Content {
        path: path.to_owned(),
        reason: reason.to_owned(),
    }
}

fn bytes(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| TlsError::File {
        path: path.to_owned(),
        source,
    })
}

/// The certificates of a PEM file, at least one.
fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain = CertificateDer::pem_slice_iter(&bytes(path)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| content(path, &format!("is not PEM: {error}")))?;
    match chain.is_empty() {
        true => Err(content(path, "holds no certificate")),
        false => Ok(chain),
    }
}

fn read(files: &CertificateFiles) -> Result<CertifiedKey, TlsError> {
    let chain = read_chain(&files.certificate)?;
    let path = &files.key;
    let secret = files::read_secret(path).map_err(|source| TlsError::File {
        path: path.to_owned(),
        source,
    })?;
    let key = PrivateKeyDer::from_pem_slice(&secret)
        .map_err(|error| content(path, &format!("holds no private key in PEM: {error}")))?;
    CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())
        .map_err(|error| content(path, &format!("cannot be used: {error}")))
}

fn make_self_signed(files: &CertificateFiles, hostname: &str) -> Result<(), TlsError> {
    let mut names = vec!["localhost".to_owned()];
    if hostname != "localhost" {
        names.push(hostname.to_owned());
    }
    let mut params = CertificateParams::new(names)?;
    params.subject_alt_names.extend([
        SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        SanType::IpAddress(IpAddr::V6(Ipv6Addr::LOCALHOST)),
    ]);
    params
        .distinguished_name
        .push(DnType::CommonName, SELF_SIGNED_NAME);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let today = unix_now().div_euclid(86_400);
    let date = |day| {
        let (year, month, day) = civil(day);
        rcgen::date_time_ymd(
            i32::try_from(year).unwrap_or(2026),
            u8::try_from(month).unwrap_or(1),
            u8::try_from(day).unwrap_or(1),
        )
    };
    // A day in the past, for clients whose clock is slow.
    params.not_before = date(today - 1);
    params.not_after = date(today + SELF_SIGNED_DAYS);
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    let write = |path: &Path, text: &str| {
        files::write_private(path, text.as_bytes()).map_err(|source| TlsError::File {
            path: path.to_owned(),
            source,
        })
    };
    if let Some(dir) = files.key.parent() {
        files::create_private_dir(dir).map_err(|source| TlsError::File {
            path: dir.to_owned(),
            source,
        })?;
    }
    write(&files.key, &key.serialize_pem())?;
    write(&files.certificate, &certificate.pem())
}

/// Whether the file holds a certificate that was made here and is at its end. One that somebody put
/// in its place is never touched.
fn expired_and_ours(path: &Path) -> bool {
    let Ok(bytes) = fs::read(path) else {
        return false;
    };
    let Some(Ok(certificate)) = CertificateDer::pem_slice_iter(&bytes).next() else {
        return false;
    };
    renewal_due(&certificate)
}

fn renewal_due(certificate: &CertificateDer<'_>) -> bool {
    let name = SELF_SIGNED_NAME.as_bytes();
    let ours = certificate.windows(name.len()).any(|window| window == name);
    let today = unix_now().div_euclid(86_400);
    ours && not_after_day(certificate).is_some_and(|day| day < today + RENEW_DAYS)
}

/// The day (from 1970) on which a certificate ends (RFC 5280 §4.1.2.5), or `None` if its DER is not
/// understood.
fn not_after_day(der: &[u8]) -> Option<i64> {
    let (_, certificate, _) = der_value(der)?;
    let (_, mut rest, _) = der_value(certificate)?;
    // [0] version, serial number, signature algorithm, issuer; then validity.
    for _ in 0..4 {
        rest = der_value(rest)?.2;
    }
    let (_, validity, _) = der_value(rest)?;
    let (tag, text, _) = der_value(der_value(validity)?.2)?;
    let number = |text: &[u8]| std::str::from_utf8(text).ok()?.parse::<i64>().ok();
    let (year, rest) = match tag {
        // UTCTime has two digits: 1950 to 2049.
        0x17 => {
            let year = number(text.get(..2)?)?;
            (
                if year < 50 { 2000 + year } else { 1900 + year },
                text.get(2..)?,
            )
        }
        0x18 => (number(text.get(..4)?)?, text.get(4..)?),
        _ => return None,
    };
    Some(days(
        year,
        number(rest.get(..2)?)?,
        number(rest.get(2..4)?)?,
    ))
}

/// Tag, content and what follows of the first DER value.
fn der_value(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, first) = (*der.first()?, *der.get(1)?);
    let (length, start) = if first < 0x80 {
        (usize::from(first), 2)
    } else {
        let bytes = usize::from(first & 0x7f);
        if bytes == 0 || bytes > 4 {
            return None;
        }
        let digits = der.get(2..2 + bytes)?;
        (
            digits.iter().fold(0, |sum, b| sum << 8 | usize::from(*b)),
            2 + bytes,
        )
    };
    let end = start.checked_add(length)?;
    Some((tag, der.get(start..end)?, &der[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_self_signed_certificate_is_made_once_and_kept_private() {
        let dir = tempfile::tempdir().unwrap();
        let files = CertificateFiles::self_signed(dir.path());
        let first = Certificates::open(files.clone(), "mail.example.org").unwrap();
        let pem = fs::read(&files.certificate).unwrap();
        assert_eq!(
            fs::metadata(&files.key).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let again = Certificates::open(files.clone(), "mail.example.org").unwrap();
        assert_eq!(fs::read(&files.certificate).unwrap(), pem);
        let cert = |c: &Certificates| c.current.read().unwrap().key.cert[0].clone();
        assert_eq!(cert(&first), cert(&again));
        let end = not_after_day(&cert(&first)).unwrap();
        assert_eq!(end, unix_now().div_euclid(86_400) + SELF_SIGNED_DAYS);
        assert!(!renewal_due(&cert(&first)));
        assert!(!first.reload(false).unwrap());
    }

    #[test]
    fn our_own_certificate_is_renewed_when_it_ends_and_no_other() {
        for (name, renewed) in [(SELF_SIGNED_NAME, true), ("somebody else", false)] {
            let dir = tempfile::tempdir().unwrap();
            let files = CertificateFiles::self_signed(dir.path());
            fs::create_dir_all(files.key.parent().unwrap()).unwrap();
            let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
            params.distinguished_name.push(DnType::CommonName, name);
            params.not_before = rcgen::date_time_ymd(2019, 1, 1);
            params.not_after = rcgen::date_time_ymd(2020, 1, 1);
            let key = KeyPair::generate().unwrap();
            let old = params.self_signed(&key).unwrap();
            fs::write(&files.certificate, old.pem()).unwrap();
            fs::write(&files.key, key.serialize_pem()).unwrap();
            assert_eq!(not_after_day(old.der()), Some(days(2020, 1, 1)));
            Certificates::open(files.clone(), "localhost").unwrap();
            let now = fs::read_to_string(&files.certificate).unwrap();
            assert_eq!(now != old.pem(), renewed, "{name}");
        }
    }

    #[test]
    fn a_broken_file_leaves_the_certificate_in_use() {
        let dir = tempfile::tempdir().unwrap();
        let files = CertificateFiles::self_signed(dir.path());
        let certificates = Certificates::open(files.clone(), "localhost").unwrap();
        let mut named = files.clone();
        named.self_signed = false;
        let before = Certificates::open(named, "localhost").unwrap();
        fs::write(&files.key, "not a key").unwrap();
        assert!(matches!(before.reload(true), Err(TlsError::Content { .. })));
        let key = |c: &Certificates| Arc::clone(&c.current.read().unwrap().key);
        assert_eq!(key(&before).cert, key(&certificates).cert);
        // Reported once, not every minute.
        assert!(!before.reload(false).unwrap());
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let files = CertificateFiles::self_signed(dir.path());
        Certificates::open(files.clone(), "localhost").unwrap();
        fs::write(&files.key, KeyPair::generate().unwrap().serialize_pem()).unwrap();
        let error = Certificates::open(files, "localhost")
            .unwrap_err()
            .to_string();
        assert!(error.contains("key.pem"), "{error}");
    }

    #[test]
    fn arbitrary_der_has_no_end_date_and_does_not_panic() {
        for der in [
            &b""[..],
            b"\x30",
            b"\x30\x84\xff\xff\xff\xff",
            b"\x30\x80",
            b"\x30\x03\x30\x01",
        ] {
            assert_eq!(not_after_day(der), None);
        }
    }
}
