//! What a server could send to our client: it must not panic, and any split of it must be read as the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use restante_proto::client::{
    Mode, ResponseEvent, ResponseFramer, ResponseLimits, decode_response,
};

/// What is read, and the error that ends it, in words.
fn read(octets: &[u8], size: usize, mode: Mode) -> Vec<String> {
    let mut framer = ResponseFramer::new(ResponseLimits::default());
    let mut told = Vec::new();
    for piece in octets.chunks(size) {
        framer.push(piece);
        loop {
            match framer.next_event() {
                Ok(Some(ResponseEvent::Frame(frame))) => {
                    told.push(format!("{:?}", decode_response(&frame, mode)));
                }
                // The pieces of a literal are as they come.
                Ok(Some(ResponseEvent::Chunk(octets))) => {
                    told.extend(octets.iter().map(|octet| octet.to_string()));
                }
                Ok(Some(event)) => told.push(format!("{event:?}")),
                Ok(None) => break,
                Err(error) => {
                    told.push(error.to_string());
                    return told;
                }
            }
        }
    }
    told
}

fuzz_target!(|data: &[u8]| {
    let Some((how, octets)) = data.split_first() else {
        return;
    };
    let mode = match how & 3 {
        0 => Mode::Strict,
        1 => Mode::StrictUtf8,
        2 => Mode::Lenient,
        _ => Mode::LenientUtf8,
    };
    let whole = read(octets, usize::MAX, mode);
    assert_eq!(read(octets, usize::from(how >> 2) + 1, mode), whole);
});
