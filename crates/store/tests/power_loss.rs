//! Loss of power: what was not forced out to the device is gone. What was acknowledged is there.
//!
//! The store lies on ext4 on a loop device that writes nothing back by itself. The process is
//! stopped in the middle of its work and the device's image is copied as it is. Needs root, a loop
//! device and ext4's tools; says so and passes where they are missing.

mod common;

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use common::{
    load::{self, Load, check},
    open,
};

/// Not a test of its own: the process that loses power.
#[test]
fn child() {
    load::child();
}

/// A mounted image; unmounted when dropped.
struct Mount(PathBuf);

impl Mount {
    fn new(image: &Path, at: PathBuf) -> Option<Self> {
        std::fs::create_dir(&at).ok()?;
        let mut mount = Command::new("mount");
        mount.args(["-o", "loop,commit=300"]).arg(image).arg(&at);
        run(&mut mount).then_some(Self(at))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        run(Command::new("umount").arg(&self.0));
    }
}

fn run(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_loss_of_power() {
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("image");
    std::fs::File::create(&image)
        .unwrap()
        .set_len(512 << 20)
        .unwrap();
    let made = run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image));
    let mounted = made
        .then(|| Mount::new(&image, dir.path().join("before")))
        .flatten();
    let Some(mounted) = mounted else {
        eprintln!("skipped: cannot make and mount an ext4 image here");
        return;
    };
    let load = Load::start(&mounted.0.join("store"));
    load.run_for(Duration::from_secs(2));
    // The control: never synced, so it must not be in the image. Otherwise the test sees no loss.
    let control = vec![b'x'; 100_000];
    std::fs::write(mounted.0.join("control"), &control).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    load.signal("STOP");
    let after = dir.path().join("image-after");
    std::fs::copy(&image, &after).unwrap();
    let acknowledged = load.kill();
    drop(mounted);
    assert!(
        acknowledged.values().sum::<u64>() > 0,
        "nothing was acknowledged"
    );

    let mounted = Mount::new(&after, dir.path().join("after")).unwrap();
    let survived = std::fs::read(mounted.0.join("control")).unwrap_or_default();
    assert_ne!(survived, control, "the image holds what was never synced");
    let store = open(&mounted.0.join("store")).await;
    check(&store, &acknowledged).await;
    assert_eq!(store.verify().await.unwrap().problem_count, 0);
    store.close().await;
}
