//! Messages to send.

use std::sync::atomic::{AtomicU64, Ordering};

static COUNTER: AtomicU64 = AtomicU64::new(0);

/// A message of about this many octets, at least one of 1,200: a multipart/alternative as mail
/// programs write it, with a Message-ID of its own.
pub(crate) fn message(octets: usize) -> Vec<u8> {
    let n = COUNTER.fetch_add(1, Ordering::Relaxed);
    let process = std::process::id();
    let mut text = format!(
        "Return-Path: <alice{n}@example.org>\r\n\
         Received: from mail.example.org (mail.example.org [192.0.2.1])\r\n\
         \tby mx.example.com with ESMTPS id {process}x{n};\r\n\
         \tSat, 04 Apr 2026 10:20:30 +0200\r\n\
         Message-ID: <{process}.{n}@bench.example.org>\r\n\
         In-Reply-To: <{process}.{prev}@bench.example.org>\r\n\
         Date: Sat, 04 Apr 2026 10:20:30 +0200\r\n\
         From: \"Alice Example\" <alice{n}@example.org>\r\n\
         To: Bob <bob@example.com>, \"C. Carol\" <carol@example.net>\r\n\
         Cc: team@example.com\r\n\
         Subject: Re: the report of week {week}, part {n}\r\n\
         MIME-Version: 1.0\r\n\
         Content-Type: multipart/alternative; boundary=\"=-b{n}\"\r\n\r\n\
         --=-b{n}\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\
         Content-Transfer-Encoding: 7bit\r\n\r\n\
         The figures are below. See you on Monday.\r\n\
         --=-b{n}\r\n\
         Content-Type: text/html; charset=utf-8\r\n\
         Content-Transfer-Encoding: 7bit\r\n\r\n",
        prev = n.wrapping_sub(1),
        week = n % 52,
    )
    .into_bytes();
    let end = format!("\r\n--=-b{n}--\r\n");
    let line =
        b"<p>The quick brown fox jumps over the lazy dog, and the dog does not care.</p>\r\n";
    while text.len() + end.len() + line.len() < octets {
        text.extend_from_slice(line);
    }
    text.extend_from_slice(end.as_bytes());
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn messages_have_about_the_size_asked() {
        for size in [2000, 10_240] {
            let message = super::message(size);
            assert!(
                message.len() <= size && message.len() > size - 100,
                "{}",
                message.len()
            );
        }
    }
}
