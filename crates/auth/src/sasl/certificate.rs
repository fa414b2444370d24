//! What a TLS client certificate says of its owner.

/// A client certificate that TLS has verified: made by the transport, from nothing less.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClientCertificate {
    /// The names that it certifies, the surest first: mail addresses and DNS names of the subject
    /// alternative name, then the common name.
    pub names: Vec<String>,
    /// The subject as text, for the log.
    pub subject: String,
    /// SHA-256 of the certificate in lower-case hexadecimal, for the log.
    pub fingerprint: String,
}
