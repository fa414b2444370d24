//! `restante bench` against the real server, and against one that lies.

mod common;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::Output;

use common::{Server, restante};

fn bench(arguments: &[&str]) -> Output {
    restante()
        .arg("bench")
        .args(arguments)
        .env("RESTANTE_BENCH_PASSWORD", "secret")
        .output()
        .unwrap()
}

#[test]
fn every_workload_is_answered_rightly_and_nothing_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let limits = "[limits]\nconnections_per_user = 200\n";
    let server = Server::start_with(&dir.path().join("data"), limits);
    server.add_user("u0", "secret");
    server.add_user("u1", "secret");
    let (imap, imaps) = (address(server.imap), address(server.imaps));
    let (lmtp, pid) = (address(server.lmtp), server.child.id().to_string());
    let (csv, plot) = (dir.path().join("out.csv"), dir.path().join("out.svg"));
    let common = [
        "--user",
        "u%d",
        "--users",
        "2",
        "--lmtp",
        &lmtp,
        "--pid",
        &pid,
        "--seconds",
        "0.02",
        "--warm-up",
        "0",
        "--connections",
        "5",
        "--yes",
        "--json",
    ];
    let mut arguments = vec![
        "--imap",
        &imap,
        "--clients",
        "2",
        "--messages",
        "30,60",
        "--csv",
        csv.to_str().unwrap(),
        "--plot",
        plot.to_str().unwrap(),
    ];
    arguments.extend(common);
    let output = bench(&arguments);
    assert!(output.status.success(), "{output:?}");
    let lines = String::from_utf8(output.stdout).unwrap();
    // All workloads but `limits` and `handshake`, twice.
    assert_eq!(lines.lines().count(), 54, "{lines}");
    assert!(
        lines
            .lines()
            .all(|line| line.starts_with("{\"workload\":\"")),
        "{lines}"
    );
    assert!(lines.contains("\"memory_each_KiB\":"), "{lines}");
    assert_eq!(std::fs::read_to_string(csv).unwrap().lines().count(), 55);
    assert!(std::fs::read_to_string(plot).unwrap().contains("<polyline"));

    let mut arguments = vec![
        "handshake",
        "fetch-body",
        "fetch-all",
        "--tls",
        "--imap",
        &imaps,
    ];
    arguments.extend(common);
    let output = bench(&arguments);
    assert!(output.status.success(), "{output:?}");

    // Neither a mailbox nor a message in INBOX.
    let left = restante()
        .args(["export", "--user", "u0"])
        .arg("--data")
        .arg(&server.data)
        .arg("--maildir")
        .arg(dir.path().join("left"))
        .output()
        .unwrap();
    assert!(left.status.success(), "{left:?}");
    let files = walk(&dir.path().join("left"));
    assert!(
        !files.iter().any(|name| name.contains("restante-bench")),
        "{files:?}"
    );
    assert!(
        !files
            .iter()
            .any(|name| name.contains("/cur/") || name.contains("/new/")),
        "{files:?}"
    );
}

fn walk(dir: &std::path::Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        names.push(path.to_string_lossy().into_owned());
        if path.is_dir() {
            names.extend(walk(&path));
        }
    }
    names
}

fn address(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

fn failure(arguments: &[&str]) -> String {
    let output = bench(arguments);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn it_says_why_it_does_not_run() {
    // Nobody listens on a port that was just closed.
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string();
    let message = failure(&["login", "--imap", &closed, "--user", "x", "--yes"]);
    assert!(message.contains("refused"), "{message}");
    // It asks, and nobody answers.
    let message = failure(&["login", "--imap", &closed, "--user", "x"]);
    assert!(message.contains("nothing was done"), "{message}");
    let message = failure(&["login", "--imap", &closed]);
    assert!(message.contains("--user"), "{message}");
}

/// A server that claims to have all messages, and has none.
fn liar() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                stream.write_all(b"* OK ready\r\n").unwrap();
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                while let Some(Ok(line)) = lines.next() {
                    let untagged = match line.split(' ').nth(1).unwrap_or_default() {
                        "STATUS" => "* STATUS restante-bench-data-10 (MESSAGES 10)\r\n",
                        "SELECT" | "EXAMINE" => "* 10 EXISTS\r\n",
                        _ => "",
                    };
                    let _ = stream.write_all(format!("{untagged}t OK done\r\n").as_bytes());
                }
            });
        }
    });
    address
}

#[test]
fn wrong_answers_end_it() {
    let address = liar();
    let arguments = [
        "select",
        "--imap",
        &address,
        "--user",
        "x",
        "--messages",
        "10",
        "--yes",
    ];
    let message = failure(&arguments);
    assert!(message.contains("holds other messages"), "{message}");
}
