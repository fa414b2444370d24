//! The web server that there is for challenges: it answers them, and nothing else.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Challenges;

/// The longest request.
const REQUEST_BYTES_MAX: usize = 8 << 10;
/// How long a request and its answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Where challenges are (RFC 8555 §8.3).
const PLACE: &str = "/.well-known/acme-challenge/";

/// Answers one request and ends.
pub(crate) async fn answer(mut tcp: TcpStream, challenges: &Challenges) {
    let talk = async {
        let mut bytes = Vec::new();
        while !ends(&bytes) && bytes.len() < REQUEST_BYTES_MAX {
            let room = (REQUEST_BYTES_MAX - bytes.len()) as u64;
            if (&mut tcp).take(room).read_buf(&mut bytes).await? == 0 {
                break;
            }
        }
        tcp.write_all(response(&bytes, challenges).as_bytes())
            .await?;
        tcp.shutdown().await?;
        // What is left unread would make the kernel throw the answer away with a reset.
        tokio::io::copy(
            &mut tcp.take(REQUEST_BYTES_MAX as u64),
            &mut tokio::io::sink(),
        )
        .await
    };
    // Whoever asked is gone, or slow: nobody is the worse for it.
    let _ = timeout(PATIENCE, talk).await;
}

fn ends(request: &[u8]) -> bool {
    request.windows(4).any(|four| four == b"\r\n\r\n")
}

fn response(request: &[u8], challenges: &Challenges) -> String {
    let line = request.split(|byte| *byte == b'\r').next();
    let line = line.and_then(|line| std::str::from_utf8(line).ok());
    let mut words = line.unwrap_or_default().split(' ');
    let (method, path) = (words.next(), words.next().unwrap_or_default());
    let http = words.next().is_some_and(|word| word.starts_with("HTTP/1."));
    let (status, body) = match (method, path.strip_prefix(PLACE)) {
        _ if !http || !ends(request) => ("400 Bad Request", None),
        (Some("GET" | "HEAD"), Some(token)) => match challenges.of_token(token) {
            Some(answer) => ("200 OK", Some(answer)),
            None => ("404 Not Found", None),
        },
        (Some("GET" | "HEAD"), None) => ("404 Not Found", None),
        _ => ("405 Method Not Allowed", None),
    };
    let body = body.unwrap_or_default();
    let shown = if method == Some("HEAD") { "" } else { &body };
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/octet-stream\r\nContent-Length: {}\r\n\
         X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n{shown}",
        body.len(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn only_running_challenges_are_answered() {
        let challenges = Arc::new(Challenges::default());
        let _running = challenges.http("abc", "abc.xyz");
        let first = |request: &str| {
            let text = response(request.as_bytes(), &challenges);
            text.split("\r\n").next().unwrap()[9..12].to_owned()
        };
        let place = "/.well-known/acme-challenge";
        for (request, status) in [
            (
                format!("GET {place}/abc HTTP/1.1\r\nHost: x\r\n\r\n"),
                "200",
            ),
            (format!("HEAD {place}/abc HTTP/1.1\r\n\r\n"), "200"),
            (format!("GET {place}/abd HTTP/1.1\r\n\r\n"), "404"),
            (format!("GET {place}/../abc HTTP/1.1\r\n\r\n"), "404"),
            ("GET / HTTP/1.1\r\n\r\n".to_owned(), "404"),
            (format!("POST {place}/abc HTTP/1.1\r\n\r\n"), "405"),
            (format!("GET {place}/abc\r\n\r\n"), "400"),
            (format!("GET {place}/abc HTTP/1.1\r\n"), "400"),
            (String::new(), "400"),
            ("\u{16}\u{3}\u{1}".to_owned(), "400"),
        ] {
            assert_eq!(first(&request), status, "{request:?}");
        }
        let whole = response(
            format!("GET {place}/abc HTTP/1.1\r\n\r\n").as_bytes(),
            &challenges,
        );
        assert!(whole.ends_with("\r\n\r\nabc.xyz"), "{whole}");
        let head = response(
            format!("HEAD {place}/abc HTTP/1.1\r\n\r\n").as_bytes(),
            &challenges,
        );
        assert!(head.contains("Content-Length: 7\r\n") && head.ends_with("\r\n\r\n"));
    }

    #[tokio::test]
    async fn a_long_request_ends() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let challenges = Arc::new(Challenges::default());
        let served = tokio::spawn(async move {
            let (tcp, _) = listener.accept().await.unwrap();
            answer(tcp, &challenges).await;
        });
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(&[b'x'; REQUEST_BYTES_MAX]).await.unwrap();
        client.shutdown().await.unwrap();
        let mut text = String::new();
        client.read_to_string(&mut text).await.unwrap();
        assert!(text.starts_with("HTTP/1.1 400"), "{text}");
        served.await.unwrap();
    }
}
