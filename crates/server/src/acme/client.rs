//! The ACME library's requests over our client of HTTP.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use ureq::http::{HeaderValue, Request, header};

use super::Failure;
use crate::http::{Http, HttpError};

#[derive(Debug, Clone)]
pub(super) struct Client(Http);

impl Client {
    /// Trusts the certificates in `roots`, or the system's if it is empty.
    pub(super) fn new(roots: &Path, timeout: Duration) -> Result<Client, Failure> {
        let http = Http::new(roots, timeout);
        http.map(Client)
            .map_err(|error| Failure::new(error).hint("check acme.ca_file"))
    }
}

fn other(error: HttpError) -> Error {
    Error::Other(Box::new(error))
}

impl HttpClient for Client {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let http = self.0.clone();
        Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            // A certificate is no JSON.
            parts
                .headers
                .insert(header::ACCEPT, HeaderValue::from_static("*/*"));
            let body = body.collect().await;
            let body = match body {
                Ok(body) => body.to_bytes(),
                Err(never) => match never {},
            };
            let request = Request::from_parts(parts, body.to_vec());
            let (parts, body) = http.exchange(request).await.map_err(other)?.into_parts();
            Ok(BytesResponse {
                parts,
                body: Box::new(Bytes::from(body)),
            })
        })
    }
}
