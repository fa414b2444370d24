//! What holds for any message whatever; the fuzz target of messages asks the same.

use restante_message::{Kind, Limits, Message, Part, SortKeys, Strings, Structure, parse_with};
use restante_proto::client::{
    Mode, ResponseEvent, ResponseFramer, ResponseLimits, decode_response,
};
use restante_proto::types::{Response, UntaggedData};

use super::grammar;

/// Everything that is asked of a message, with the checks that belong to it.
pub(crate) fn check(octets: &[u8], limits: Limits) -> Message {
    let message = parse_with(octets, limits);
    let structure = message.structure();
    assert_eq!(structure.size(), octets.len() as u64);
    check_ranges(structure, octets);
    for strings in [Strings::Literal, Strings::Utf8Quoted] {
        let utf8 = strings == Strings::Utf8Quoted;
        let mut out = Vec::new();
        message.envelope(strings, &mut out);
        assert_eq!(
            grammar::envelope(&out, utf8),
            Ok(()),
            "{}",
            out.escape_ascii()
        );
        client_reads("ENVELOPE", &out, utf8);
        for extended in [false, true] {
            out.clear();
            match extended {
                true => message.bodystructure(strings, &mut out),
                false => message.body(strings, &mut out),
            }
            assert_eq!(
                grammar::body(&out, extended, utf8),
                Ok(()),
                "{}",
                out.escape_ascii()
            );
            let item = if extended { "BODYSTRUCTURE" } else { "BODY" };
            client_reads(item, &out, utf8);
        }
    }
    let encoded = structure.encode();
    assert_eq!(Structure::decode(&encoded).as_ref(), Some(structure));
    let keys = message.sort_keys();
    let encoded = keys.encode();
    assert!(encoded.len() < 2_000);
    assert_eq!(SortKeys::decode(&encoded), Some(keys));
    assert!(message.preview().chars().count() <= 200);
    for index in 0..structure.parts().len() {
        let _ = message.filename(index);
    }
    message
}

/// A client that allows no deviation from the grammar reads it as one FETCH item.
fn client_reads(item: &str, value: &[u8], utf8: bool) {
    let line = [b"* 1 FETCH (", item.as_bytes(), b" ", value, b")\r\n"].concat();
    let mut framer = ResponseFramer::new(ResponseLimits::default());
    framer.push(&line);
    let frame = match framer.next_event() {
        Ok(Some(ResponseEvent::Frame(frame))) => frame,
        other => panic!("{other:?}: {}", line.escape_ascii()),
    };
    let mode = if utf8 { Mode::StrictUtf8 } else { Mode::Strict };
    match decode_response(&frame, mode) {
        Ok(Response::Data(UntaggedData::Fetch { items, .. })) => assert_eq!(items.len(), 1),
        other => panic!("{other:?}: {}", line.escape_ascii()),
    }
}

/// Header and body follow each other, children lie in the body of their parent, in order.
fn check_ranges(structure: &Structure, octets: &[u8]) {
    let slice = |range: &std::ops::Range<u64>| &octets[range.start as usize..range.end as usize];
    assert_eq!(structure.root().header.start, 0);
    assert_eq!(structure.root().body.end, structure.size());
    let mut seen = 1;
    for (index, part) in structure.parts().iter().enumerate() {
        assert!(part.header.start <= part.header.end);
        assert_eq!(part.header.end, part.body.start);
        assert!(part.body.start <= part.body.end);
        let lines = slice(&part.body)
            .iter()
            .filter(|&&byte| byte == b'\n')
            .count();
        assert_eq!(part.lines, lines as u64, "lines of part {index}");
        let mut from = part.body.start;
        let children: Vec<usize> = structure.children(index).collect();
        seen += children.len();
        for &child in &children {
            let child: &Part = &structure.parts()[child];
            assert!(child.header.start >= from && child.body.end <= part.body.end);
            from = child.body.end;
        }
        match part.kind {
            Kind::Leaf => assert!(children.is_empty()),
            Kind::Multipart => assert!(!children.is_empty()),
            Kind::Message => assert_eq!(children, [index + 1]),
        }
    }
    assert_eq!(
        seen,
        structure.parts().len(),
        "every part is the child of one"
    );
}
