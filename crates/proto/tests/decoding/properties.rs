//! Bytes that are no commands do no harm.

use super::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn arbitrary_bytes_never_panic(line in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(&line, &DecodeOptions::default());
    }

    #[test]
    fn arbitrary_words_never_panic(
        words in prop::collection::vec(prop::sample::select(vec![
            "a1 ", "UID ", "FETCH ", "SEARCH ", "STORE ", "LIST ", "NOTIFY SET ", "SELECT x ",
            "SORT ", "1:*", "(", ")", " ", "[", "]", "BODY", "HEADER.FIELDS ", "RETURN ", "\"",
            "\\", "{1}\r\nx", "OR ", "NOT ", "STATUS ", "<0.1>", "&", "*", "FLAGS", "+FLAGS",
            "QRESYNC ", "1", "0", "-", "CHANGEDSINCE ", "PARTIAL ", "1-Jan-2000", "\u{e9}",
        ]), 0..24),
    ) {
        let _ = decode(words.concat().as_bytes(), &DecodeOptions::default());
    }
}
