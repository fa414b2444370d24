//! kill -9 of a process under load: what it had acknowledged is there, and every batch is whole.

mod common;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use common::{
    load::{self, Load, check},
    open,
};

/// Not a test of its own: the process that is killed.
#[test]
fn child() {
    load::child();
}

#[tokio::test]
async fn what_was_acknowledged_survives_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let mut least = BTreeMap::new();
    for round in 0..3u64 {
        let load = Load::start(dir.path());
        load.run_for(Duration::from_millis(1500 + 300 * round));
        let acknowledged = load.kill();
        assert!(
            !acknowledged.is_empty(),
            "nothing was acknowledged in round {round}"
        );
        for (writer, id) in acknowledged {
            let last = least.entry(writer).or_insert(0);
            *last = id.max(*last);
        }
        let started = Instant::now();
        let store = open(dir.path()).await;
        let opened = started.elapsed();
        check(&store, &least).await;
        assert!(opened < Duration::from_secs(60), "open took {opened:?}");
        drop(store);
    }
}
