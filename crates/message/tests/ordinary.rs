//! Ordinary messages, with the answers of the RFCs.

use restante_message::{SectionText, Strings, parse};

fn envelope(text: &str) -> String {
    let mut out = Vec::new();
    parse(text.as_bytes()).envelope(Strings::Literal, &mut out);
    String::from_utf8(out).expect("ASCII input")
}

fn bodystructure(text: &str) -> String {
    let mut out = Vec::new();
    parse(text.as_bytes()).bodystructure(Strings::Literal, &mut out);
    String::from_utf8(out).expect("ASCII input")
}

/// RFC 9051 §8.
#[test]
fn envelope_of_the_sample_connection() {
    let message = "Date: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\r\n\
        From: Terry Gray <gray@cac.washington.edu>\r\n\
        Subject: IMAP4rev2 WG mtg summary and minutes\r\n\
        To: imap@cac.washington.edu\r\n\
        cc: minutes@CNRI.Reston.VA.US, John Klensin <KLENSIN@MIT.EDU>\r\n\
        Message-Id: <B27397-0100000@cac.washington.edu>\r\n\
        MIME-Version: 1.0\r\n\
        Content-Type: TEXT/PLAIN; CHARSET=US-ASCII\r\n\r\nText\r\n";
    assert_eq!(
        envelope(message),
        "(\"Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\" \
         \"IMAP4rev2 WG mtg summary and minutes\" \
         ((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) \
         ((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) \
         ((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) \
         ((NIL NIL \"imap\" \"cac.washington.edu\")) \
         ((NIL NIL \"minutes\" \"CNRI.Reston.VA.US\")\
         (\"John Klensin\" NIL \"KLENSIN\" \"MIT.EDU\")) NIL NIL \
         \"<B27397-0100000@cac.washington.edu>\")"
    );
    assert_eq!(
        bodystructure(message),
        "(\"TEXT\" \"PLAIN\" (\"CHARSET\" \"US-ASCII\") NIL NIL \"7bit\" 6 1 NIL NIL NIL NIL)"
    );
}

/// The part numbers of the example in RFC 9051 §6.4.5.
#[test]
fn sections_of_nested_messages() {
    let message = b"From: a\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n\
        preamble\r\n\
        --x\r\n\r\none\r\n\
        --x\r\nContent-Type: application/octet-stream\r\n\r\ntwo\r\n\
        --x\r\nContent-Type: message/rfc822\r\n\r\n\
        Subject: three\r\nContent-Type: multipart/mixed; boundary=y\r\n\r\n\
        --y\r\n\r\nthree.one\r\n\
        --y\r\nX: y\r\n\r\nthree.two\r\n--y--\r\n\
        --x--\r\nepilogue\r\n";
    let parsed = parse(message);
    let structure = parsed.structure();
    let section = |path: &[u32], text| {
        let range = structure.section(path, text)?;
        std::str::from_utf8(&message[range.start as usize..range.end as usize]).ok()
    };
    use SectionText::{Header, Mime, Text, Whole};
    assert_eq!(section(&[1], Whole), Some("one"));
    assert_eq!(section(&[1], Mime), Some("\r\n"));
    assert_eq!(section(&[1], Header), None);
    assert_eq!(section(&[2], Whole), Some("two"));
    assert_eq!(section(&[2, 1], Whole), None);
    assert_eq!(
        section(&[3], Mime),
        Some("Content-Type: message/rfc822\r\n\r\n")
    );
    assert_eq!(
        section(&[3], Header),
        Some("Subject: three\r\nContent-Type: multipart/mixed; boundary=y\r\n\r\n")
    );
    assert!(section(&[3], Text).is_some_and(|text| text.starts_with("--y\r\n")));
    assert_eq!(section(&[3, 1], Whole), Some("three.one"));
    assert_eq!(section(&[3, 2], Whole), Some("three.two"));
    assert_eq!(section(&[3, 2], Mime), Some("X: y\r\n\r\n"));
    assert_eq!(section(&[4], Whole), None);
    assert_eq!(section(&[], Whole).map(str::len), Some(message.len()));
    assert!(section(&[], Text).is_some_and(|text| text.starts_with("preamble")));
    let encoded = structure.encode();
    assert_eq!(
        restante_message::Structure::decode(&encoded).as_ref(),
        Some(structure)
    );
    assert!(encoded.len() < 120, "{}", encoded.len());
}
