//! A disk that fills up under the running server: who sends mail is told so, the log says what to do,
//! mail can be read and deleted, and all goes on once there is room.
//!
//! Needs to mount a small file system; says so and passes where it may not.

mod common;

use std::path::Path;
use std::process::Command;

use common::{Client, Server};

struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn new() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        mount("size=340m", dir.path()).then_some(Self(dir))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).output();
    }
}

fn mount(options: &str, at: &Path) -> bool {
    let mut command = Command::new("mount");
    command.args(["-t", "tmpfs", "-o", options, "none"]).arg(at);
    command.output().is_ok_and(|output| output.status.success())
}

fn append(client: &mut Client, bytes: usize) -> String {
    let text = format!("Subject: x\r\n\r\n{}", "x".repeat(bytes));
    client.send(format!("x APPEND INBOX {{{}+}}\r\n{text}\r\n", text.len()).as_bytes());
    client.answer("x ").pop().unwrap()
}

/// The reply to a message that is sent by LMTP.
fn deliver(lmtp: &mut Client, bytes: usize) -> String {
    lmtp.send(b"MAIL FROM:<a@b>\r\nRCPT TO:<ada>\r\nDATA\r\n");
    for reply in ["250 ", "250 ", "354 "] {
        lmtp.expect(reply);
    }
    let line = format!("{}\r\n", "x".repeat(70));
    let text = line.repeat(bytes / line.len());
    lmtp.send(format!("Subject: x\r\n\r\n{text}.\r\n").as_bytes());
    lmtp.line()
}

#[test]
fn a_disk_that_fills_up_and_is_made_larger() {
    let Some(disk) = SmallDisk::new() else {
        eprintln!("skipped: cannot mount a small file system here");
        return;
    };
    let server = Server::start(&disk.0.path().join("data"));
    server.add_user("ada", "x");
    let mut client = server.plain();
    client.expect("* OK ");
    client.ok("LOGIN ada x");
    let mut kept = 0;
    // Those in files of their own, then those in the log.
    for bytes in [9 << 20, 900 << 10, 90 << 10] {
        let refused = loop {
            let answer = append(&mut client, bytes);
            if !answer.starts_with("x OK") {
                break answer;
            }
            kept += 1;
        };
        assert!(refused.starts_with("x NO [UNAVAILABLE]"), "{refused}");
        let line = server.wait_for_log("no space");
        assert!(line.contains("make room"), "{line}");
    }
    assert!(kept > 5);
    let mut lmtp = server.lmtp();
    lmtp.expect("220 ");
    lmtp.send(b"LHLO test\r\n");
    while lmtp.line().starts_with("250-") {}
    let refused = deliver(&mut lmtp, 90 << 10);
    assert!(refused.starts_with("452 4.3.1"), "{refused}");
    let line = server.wait_for_log("not delivered");
    assert!(line.contains("make room"), "{line}");

    // What is there is there, and can go.
    let lines = client.ok("SELECT INBOX");
    assert!(lines.contains(&format!("* {kept} EXISTS")), "{lines:?}");
    client.ok("STORE 1:2 +FLAGS.SILENT (\\Deleted)");
    client.ok("EXPUNGE");
    client.ok("FETCH * BODY.PEEK[HEADER]");

    assert!(mount("remount,size=900m", disk.0.path()));
    // What the file system said of its space may still be remembered, for a moment.
    let mut accepted = deliver(&mut lmtp, 90 << 10);
    for _ in 0..100 {
        if accepted.starts_with("250 2.0.0") {
            break;
        }
        assert!(accepted.starts_with("452 4.3.1"), "{accepted}");
        std::thread::sleep(std::time::Duration::from_millis(50));
        accepted = deliver(&mut lmtp, 90 << 10);
    }
    assert!(accepted.starts_with("250 2.0.0"), "{accepted}");
    assert!(append(&mut client, 900 << 10).starts_with("x OK"));
    let lines = client.ok("STATUS INBOX (MESSAGES)");
    // Two are gone, two have come.
    let messages = format!("MESSAGES {})", kept);
    assert!(
        lines.iter().any(|line| line.contains(&messages)),
        "{lines:?}"
    );
    let check = server.command(&["check", "--deep"], "");
    assert!(check.status.success(), "{check:?}");
    drop(server);
}
