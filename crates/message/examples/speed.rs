//! Prints how fast messages are read: `cargo run --release -p restante-message --example speed`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use restante_message::{Decoder, Encoding, Strings, Structure, parse};

const TIME: Duration = Duration::from_millis(400);

fn main() {
    let header = header(2000);
    let plain = message(
        &header,
        "Content-Type: text/plain; charset=utf-8\r\n",
        &lines(2000),
    );
    let three = three_parts(&header);
    let large = message(
        &header,
        "Content-Type: multipart/mixed; boundary=\"=_b\"\r\n",
        &attachment("=_b", 2 << 20),
    );
    let huge = message(&header, "Content-Type: text/plain\r\n", &lines(50 << 20));
    for (name, octets) in [
        ("4 KB text", &plain),
        ("3 parts", &three),
        ("2 MB attachment", &large),
        ("50 MB text", &huge),
    ] {
        measure(&format!("{name}: parse"), octets.len(), || {
            black_box(parse(black_box(octets)));
        });
        let mut out = Vec::new();
        measure(
            &format!("{name}: parse, ENVELOPE, BODYSTRUCTURE"),
            octets.len(),
            || {
                out.clear();
                let message = parse(black_box(octets));
                message.envelope(Strings::Literal, &mut out);
                message.bodystructure(Strings::Literal, &mut out);
            },
        );
        measure(
            &format!("{name}: all of an email row"),
            octets.len(),
            || {
                out.clear();
                let message = parse(black_box(octets));
                message.envelope(Strings::Literal, &mut out);
                message.bodystructure(Strings::Literal, &mut out);
                black_box((
                    message.structure().encode(),
                    message.sort_keys().encode(),
                    message.preview(),
                ));
            },
        );
    }
    let row = parse(&three).structure().encode();
    println!(
        "structure of 3 parts: {} octets, sort keys {}",
        row.len(),
        parse(&three).sort_keys().encode().len()
    );
    measure("decode the structure of 3 parts", row.len(), || {
        black_box(Structure::decode(black_box(&row)));
    });
    let base64 = attachment("b", 2 << 20).into_bytes();
    let quoted =
        "Gr=C3=BC=C3=9Fe, and a line of ordinary text with a soft break at its e=\r\nnd\r\n"
            .repeat(20_000);
    for (encoding, body) in [
        (Encoding::Base64, &base64[..]),
        (Encoding::QuotedPrintable, quoted.as_bytes()),
    ] {
        let mut out = Vec::new();
        measure(&format!("decode {encoding:?}"), body.len(), || {
            out.clear();
            let Ok(mut decoder) = Decoder::new(encoding) else {
                return;
            };
            body.chunks(16 << 10)
                .for_each(|piece| decoder.push(piece, &mut out));
            decoder.finish(&mut out);
        });
    }
}

/// Prints the best of many short runs, so that what else the machine does counts little.
fn measure(name: &str, octets: usize, mut run: impl FnMut()) {
    run();
    let start = Instant::now();
    let mut best = f64::INFINITY;
    while start.elapsed() < TIME {
        let batch = Instant::now();
        let mut count = 0_u32;
        while count == 0 || batch.elapsed() < Duration::from_millis(1) {
            (0..10).for_each(|_| run());
            count += 10;
        }
        best = best.min(batch.elapsed().as_secs_f64() / f64::from(count));
    }
    println!(
        "{name:45} {:10.0} MB/s {:10.0} /s",
        octets as f64 / best / 1e6,
        1.0 / best
    );
}

fn header(size: usize) -> String {
    let mut out = "From: Terry Gray <gray@cac.washington.edu>\r\n\
        To: imap@cac.washington.edu, \"Klensin, John\" <KLENSIN@MIT.EDU>\r\n\
        Cc: minutes@CNRI.Reston.VA.US\r\nDate: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\r\n\
        Subject: Re: IMAP4rev2 WG =?utf-8?Q?mtg_summary_and_min=C3=BCtes?=\r\n\
        Message-Id: <B27397-0100000@cac.washington.edu>\r\n\
        In-Reply-To: <B27396-0100000@cac.washington.edu>\r\n\
        References: <B27395-0100000@cac.washington.edu>\r\n <B27396-0100000@cac.washington.edu>\r\n\
        MIME-Version: 1.0\r\n"
        .to_owned();
    while out.len() < size {
        out.push_str(
            "Received: from mail.example.org (mail.example.org [192.0.2.1])\r\n\
             \tby mx.example.net (Postfix) with ESMTPS id 4Xk2Zq1J5bz9sTt\r\n\
             \tfor <user@example.net>; Wed, 17 Jul 1996 02:23:26 -0700 (PDT)\r\n",
        );
    }
    out
}

fn message(header: &str, more: &str, body: &str) -> Vec<u8> {
    format!("{header}{more}\r\n{body}").into_bytes()
}

fn lines(size: usize) -> String {
    "A line of ordinary text, as long as lines of text in mail commonly are.\r\n"
        .repeat(size / 73 + 1)
}

fn three_parts(header: &str) -> Vec<u8> {
    let body = format!(
        "--=_b\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Transfer-Encoding: quoted-printable\r\n\r\n{}\r\n\
         --=_b\r\nContent-Type: text/html; charset=utf-8\r\n\
         Content-Transfer-Encoding: quoted-printable\r\n\r\n{}\r\n--=_b--\r\n",
        lines(700),
        lines(1000)
    );
    message(
        header,
        "Content-Type: multipart/alternative; boundary=\"=_b\"\r\n",
        &body,
    )
}

fn attachment(boundary: &str, size: usize) -> String {
    let line = "TWFuIGlzIGRpc3Rpbmd1aXNoZWQsIG5vdCBvbmx5IGJ5IGhpcyByZWFzb24sIGJ1dCBieSB0aGlz\r\n";
    format!(
        "--{boundary}\r\n\r\nHello\r\n--{boundary}\r\nContent-Type: application/pdf; name=\"a.pdf\"\r\n\
         Content-Disposition: attachment; filename=\"a.pdf\"\r\nContent-Transfer-Encoding: base64\r\n\r\n\
         {}--{boundary}--\r\n",
        line.repeat(size / line.len())
    )
}
