//! A message of any octets: its structure is sound, and what is told of it follows the grammar. The first byte
//! chooses small limits.

#![no_main]

#[path = "../../crates/message/tests/check/mod.rs"]
mod check;
#[path = "../../crates/message/tests/grammar/mod.rs"]
mod grammar;

use libfuzzer_sys::fuzz_target;
use restante_message::{Limits, decode_header_text};

fuzz_target!(|data: &[u8]| {
    let Some((how, octets)) = data.split_first() else {
        return;
    };
    let limits = match how & 7 {
        0 => Limits {
            depth: u32::from(how >> 3 & 3),
            parts: u32::from(how >> 5),
            header_bytes: 100,
            addresses: 2,
            preview_bytes: 10,
        },
        _ => Limits::default(),
    };
    let message = check::check(octets, limits);
    let _ = decode_header_text(message.header());
});
