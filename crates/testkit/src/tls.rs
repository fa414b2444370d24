//! TLS under an in-memory connection.

use std::io;
use std::sync::Arc;

use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{DuplexStream, copy_bidirectional};
use tokio_rustls::{TlsAcceptor, TlsConnector, server::TlsStream};

/// A certificate of its own, and both ends' settings for it.
#[derive(Clone)]
pub(crate) struct Tls {
    acceptor: TlsAcceptor,
    connector: TlsConnector,
}

impl Tls {
    /// Makes a certificate for `localhost`.
    pub(crate) fn new() -> Result<Tls, Box<dyn std::error::Error>> {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        let certificate = made.cert.der().clone();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der())?;
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone())?;
        let server = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)?;
        let client = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Tls {
            acceptor: Arc::new(server).into(),
            connector: Arc::new(client).into(),
        })
    }

    /// The server's handshake.
    pub(crate) async fn accept(&self, stream: DuplexStream) -> io::Result<TlsStream<DuplexStream>> {
        self.acceptor.accept(stream).await
    }

    /// The client's end: what goes through `plain` goes through TLS on `stream`.
    pub(crate) async fn forward(self, mut plain: DuplexStream, stream: DuplexStream) {
        let Ok(name) = ServerName::try_from("localhost") else {
            return;
        };
        if let Ok(mut tls) = self.connector.connect(name, stream).await {
            // However it ends, both ends see it.
            let _ = copy_bidirectional(&mut plain, &mut tls).await;
        }
    }
}
