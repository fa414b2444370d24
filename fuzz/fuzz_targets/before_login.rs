//! What anybody can send before a login. The first byte says whether the connection counts as secure and in
//! what pieces the rest comes; nobody must come in, and nothing break.

#![no_main]

use std::cell::OnceCell;

use libfuzzer_sys::fuzz_target;
use restante_testkit::door::Door;
use tokio::runtime::{Builder, Runtime};

thread_local! {
    static WORLD: OnceCell<(Runtime, Door)> = const { OnceCell::new() };
}

fn world() -> (Runtime, Door) {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let door = runtime.block_on(Door::new());
    (runtime, door)
}

fuzz_target!(|data: &[u8]| {
    let Some((how, input)) = data.split_first() else {
        return;
    };
    let secure = how & 1 == 1;
    let size = match how >> 1 {
        0 => usize::MAX,
        size => usize::from(size),
    };
    WORLD.with(|cell| {
        let (runtime, door) = cell.get_or_init(world);
        if let Err(wrong) = runtime.block_on(door.knock(input, &[size], secure)) {
            panic!("{wrong}");
        }
    });
});
