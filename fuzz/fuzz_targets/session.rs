//! What a client can send after its login, with a mailbox selected. The first byte says in what pieces the rest comes.

#![no_main]

use libfuzzer_sys::fuzz_target;
use restante_testkit::survive::survive;
use tokio::runtime::Builder;

fuzz_target!(|data: &[u8]| {
    let Some((how, input)) = data.split_first() else {
        return;
    };
    let first = [
        "x LOGIN alice secret\r\n",
        "y ENABLE QRESYNC IMAP4rev2\r\n",
        "z SELECT INBOX\r\n",
    ];
    let first: Vec<&str> = match how & 1 {
        0 => first.to_vec(),
        // As an old client would.
        _ => vec![first[0], first[2]],
    };
    let size = match how >> 1 {
        0 => usize::MAX,
        size => usize::from(size),
    };
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    if let Err(wrong) = runtime.block_on(survive(&first, input, &[size])) {
        panic!("{wrong}");
    }
});
