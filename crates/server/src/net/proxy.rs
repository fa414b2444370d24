//! The PROXY protocol: who the client is when a load balancer stands between.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use ppp::{HeaderResult, PartialResult, v1, v2};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// The longest header: of version 2, with room for what a load balancer adds.
const HEADER_BYTES_MAX: usize = 4096;
/// How long the header may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long to wait before looking again at a header that is not all there.
const PAUSE: Duration = Duration::from_millis(5);

/// Reads the header with which a trusted load balancer begins, and nothing after it. Returns the
/// client's address; `balancer` itself if it asks for its own sake (a health check).
pub(crate) async fn client_behind(
    tcp: &mut TcpStream,
    balancer: SocketAddr,
) -> io::Result<SocketAddr> {
    let read = timeout(PATIENCE, read_header(tcp, balancer));
    read.await.map_err(|_| io::ErrorKind::TimedOut)?
}

async fn read_header(tcp: &mut TcpStream, balancer: SocketAddr) -> io::Result<SocketAddr> {
    let mut bytes = [0; HEADER_BYTES_MAX];
    loop {
        let there = tcp.peek(&mut bytes).await?;
        if there == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match parse(&bytes[..there]) {
            Parsed::Header(length, client) => {
                tcp.read_exact(&mut bytes[..length]).await?;
                let client = client.unwrap_or(balancer);
                return Ok(SocketAddr::new(client.ip().to_canonical(), client.port()));
            }
            Parsed::Partial if there < HEADER_BYTES_MAX => sleep(PAUSE).await,
            Parsed::Partial => return Err(invalid("a PROXY header that is too long")),
            Parsed::Invalid => return Err(invalid("no PROXY header")),
        }
    }
}

fn invalid(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

#[derive(Debug, PartialEq, Eq)]
enum Parsed {
    /// Its length, and the client's address if it has one.
    Header(usize, Option<SocketAddr>),
    Partial,
    Invalid,
}

fn parse(bytes: &[u8]) -> Parsed {
    let header = HeaderResult::parse(bytes);
    if header.is_incomplete() {
        // The library would wait for more of a line that is over.
        let is_over = bytes.starts_with(b"PROXY") && bytes.contains(&b'\n');
        return match is_over {
            true => Parsed::Invalid,
            false => Parsed::Partial,
        };
    }
    match header {
        HeaderResult::V1(Ok(header)) => {
            let client = match header.addresses {
                v1::Addresses::Tcp4(of) => Some((of.source_address, of.source_port).into()),
                v1::Addresses::Tcp6(of) => Some((of.source_address, of.source_port).into()),
                v1::Addresses::Unknown => None,
            };
            Parsed::Header(header.header.len(), client)
        }
        HeaderResult::V2(Ok(header)) => {
            let client = match (header.command, header.addresses) {
                (v2::Command::Proxy, v2::Addresses::IPv4(of)) => {
                    Some((of.source_address, of.source_port).into())
                }
                (v2::Command::Proxy, v2::Addresses::IPv6(of)) => {
                    Some((of.source_address, of.source_port).into())
                }
                _ => None,
            };
            Parsed::Header(header.len(), client)
        }
        HeaderResult::V1(Err(_)) | HeaderResult::V2(Err(_)) => Parsed::Invalid,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const V2: &[u8] =
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x01\x30\x39\x00\x8f";

    fn address(text: &str) -> Option<SocketAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn headers_of_both_versions() {
        let v1 = b"PROXY TCP4 192.0.2.1 198.51.100.1 12345 143\r\na LOGIN x y\r\n";
        assert_eq!(parse(v1), Parsed::Header(45, address("192.0.2.1:12345")));
        let v6 = b"PROXY TCP6 2001:db8::1 2001:db8::2 9 143\r\n";
        assert_eq!(
            parse(v6),
            Parsed::Header(v6.len(), address("[2001:db8::1]:9"))
        );
        assert_eq!(parse(b"PROXY UNKNOWN\r\n"), Parsed::Header(15, None));
        let more = [V2, b"\x16\x03\x01"].concat();
        assert_eq!(parse(&more), Parsed::Header(28, address("192.0.2.1:12345")));
        let mut local = V2.to_vec();
        local[12] = 0x20;
        assert_eq!(parse(&local), Parsed::Header(28, None));
    }

    #[test]
    fn what_is_none() {
        for bytes in [
            &b"a LOGIN joe secret\r\n"[..],
            b"PROXY TCP4 1.2.3.4 5.6.7.8 99999 1\r\n",
            b"PROXY TCP4 1.2.3.4\r\n",
            b"\x16\x03\x01\x02\x00",
        ] {
            assert_eq!(parse(bytes), Parsed::Invalid, "{bytes:?}");
        }
        for end in 1..V2.len() {
            assert_eq!(parse(&V2[..end]), Parsed::Partial, "{end}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..64), cut in 0..28usize) {
            let _ = parse(&bytes);
            let _ = parse(&[&V2[..cut], &bytes].concat());
        }
    }
}
