//! The real binary: start, sign in, deliver, read, stop.

mod common;

use std::io::Write;

use common::{Client, Server, command, eventually, restante, tcp, tls};

#[test]
fn the_first_ten_minutes_with_a_new_server() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let mut server = Server::start(&data);
    server.add_user("Ada@Example.org", "tanstaaf");

    server
        .lmtp()
        .deliver("ada@example.org", "Subject: hello\r\n\r\nworld");

    let mut client = server.imaps();
    client.expect("* OK ");
    client.ok("LOGIN ada@example.org tanstaaf");
    let lines = client.ok("SELECT INBOX");
    assert!(lines.iter().any(|line| line == "* 1 EXISTS"), "{lines:?}");

    // Goodbye is said, the process ends well, and the mail is still there afterwards.
    server.signal("TERM");
    client.expect("* BYE");
    assert!(server.wait());
    let server = Server::start(&data);
    let mut client = server.imaps();
    client.expect("* OK ");
    client.ok("LOGIN ada@example.org tanstaaf");
    let lines = client.ok("SELECT INBOX");
    assert!(lines.iter().any(|line| line == "* 1 EXISTS"), "{lines:?}");
}

/// RFC 9051 §6.2.1: what was sent in plain text with STARTTLS is thrown away.
#[test]
fn what_is_behind_starttls_is_thrown_away() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let server = Server::start(&data);
    server.add_user("ada", "tanstaaf");
    let mut stream = tcp(server.imap);
    let mut plain = Client::new(Box::new(stream.try_clone().unwrap()));
    let greeting = plain.expect("* OK ");
    // RFC 5550 §3.2: the capabilities stand in the greeting.
    let told = greeting.starts_with("* OK [CAPABILITY IMAP4rev1 ");
    assert!(told && greeting.contains("STARTTLS"), "{greeting}");
    stream.write_all(b"a STARTTLS\r\nevil NOOP\r\n").unwrap();
    plain.answer("a OK");
    let mut client = Client::new(Box::new(tls(stream, &data, "127.0.0.1")));
    let lines = client.ok("LOGIN ada tanstaaf");
    assert!(
        !lines.iter().any(|line| line.starts_with("evil")),
        "{lines:?}"
    );
    let lines = client.ok("CAPABILITY");
    assert!(
        !lines.iter().any(|line| line.contains("STARTTLS")),
        "{lines:?}"
    );
}

#[test]
fn who_is_locked_out_or_removed_has_no_sessions_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let server = Server::start(&data);
    for change in ["disable", "remove"] {
        server.add_user("eve", "secret");
        let mut sessions = [server.imaps(), server.imaps()];
        for client in &mut sessions {
            client.expect("* OK ");
            client.ok("LOGIN eve secret");
        }
        sessions[1].ok("SELECT INBOX");
        sessions[1].send(b"i IDLE\r\n");
        sessions[1].expect("+ ");
        let output = command(&data, &["user", change, "eve"], "");
        assert!(output.status.success(), "{output:?}");
        for client in &mut sessions {
            client.expect("* BYE [CONTACTADMIN]");
        }
        if change == "disable" {
            assert!(
                command(&data, &["user", "enable", "eve"], "")
                    .status
                    .success()
            );
            let mut client = server.imaps();
            client.expect("* OK ");
            client.ok("LOGIN eve secret");
            client.ok("NOOP");
            assert!(
                command(&data, &["user", "remove", "eve"], "")
                    .status
                    .success()
            );
        }
    }
}

#[test]
fn a_wrong_password_is_refused_and_a_changed_one_takes_effect_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("data"));
    server.add_user("ada", "old");
    let login = |password: &str| {
        let mut client = server.imaps();
        client.expect("* OK ");
        let lines = client.command(&format!("LOGIN ada {password}"));
        lines.last().unwrap().clone()
    };
    assert!(login("old").starts_with("x OK"));
    assert!(login("wrong").starts_with("x NO [AUTHENTICATIONFAILED]"));
    let output = server.command(&["user", "passwd", "ada", "--password-stdin"], "new\n");
    assert!(output.status.success(), "{output:?}");
    assert!(login("old").starts_with("x NO [AUTHENTICATIONFAILED]"));
    assert!(login("new").starts_with("x OK"));
    assert!(
        server
            .command(&["user", "disable", "ada"], "")
            .status
            .success()
    );
    assert!(login("new").starts_with("x NO"));
}

#[test]
fn connections_are_limited_by_user_and_in_all() {
    let dir = tempfile::tempdir().unwrap();
    let limits = "[limits]\nconnections_per_user = 2\nconnections = 4\n";
    let server = Server::start_with(&dir.path().join("data"), limits);
    server.add_user("ada", "x");
    let mut clients: Vec<Client> = Vec::new();
    for answer in ["x OK", "x OK", "x NO [LIMIT]"] {
        let mut client = server.plain();
        client.expect("* OK ");
        let lines = client.command("LOGIN ada x");
        assert!(lines.last().unwrap().starts_with(answer), "{lines:?}");
        clients.push(client);
    }
    // A place is free again when a session has ended, which is just after its client is told so.
    clients.remove(0).answer_logout();
    let last = clients.last_mut().unwrap();
    eventually(|| {
        let lines = last.command("LOGIN ada x");
        lines.last().unwrap().starts_with("x OK")
    });

    for _ in 0..2 {
        eventually(|| {
            let mut client = server.plain();
            let greeted = client.line().starts_with("* OK ");
            clients.push(client);
            greeted
        });
    }
    server.plain().expect("* BYE [LIMIT]");
    server.lmtp().expect("421 4.3.2");
}

/// Out of file descriptors: who is in stays in, who comes waits, nothing spins or breaks.
#[test]
fn it_survives_running_out_of_file_descriptors() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = std::process::Command::new("sh");
    let limited = "ulimit -n 64 && exec \"$0\" \"$@\"";
    command.args(["-c", limited, env!("CARGO_BIN_EXE_restante")]);
    let server = Server::start_by(command, &dir.path().join("data"), "");
    server.add_user("ada", "x");
    let mut first = server.plain();
    first.expect("* OK ");
    let crowd: Vec<_> = (0..100).map(|_| tcp(server.imap)).collect();
    server.wait_for_log("cannot accept connections");
    first.ok("NOOP");
    drop(crowd);
    let mut late = server.plain();
    late.expect("* OK ");
    late.ok("LOGIN ada x");
    first.ok("NOOP");
}

#[test]
fn users_are_managed_with_and_without_a_server() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let run = |args: &[&str], input: &str| {
        let output = command(&data, args, input);
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (
            output.status.success(),
            text(output.stdout),
            text(output.stderr),
        )
    };
    let csv = dir.path().join("users.csv");
    let lines: String = (0..300)
        .map(|n| format!("user{n:03},password{n}\n"))
        .collect();
    std::fs::write(&csv, lines).unwrap();
    std::fs::write(
        data.with_extension("toml"),
        "[login]\nargon2_memory_kib = 8\nargon2_iterations = 1\n",
    )
    .unwrap();
    for with_server in [false, true] {
        let server = with_server.then(|| Server::start(&data));
        let (ok, out, err) = run(&["user", "add", "--csv", csv.to_str().unwrap()], "");
        if with_server {
            assert!(
                !ok && err.contains("user000: the user exists already"),
                "{err}"
            );
            let skip = [
                "user",
                "add",
                "--skip-existing",
                "--csv",
                csv.to_str().unwrap(),
            ];
            let (ok, out, err) = run(&skip, "");
            assert!(
                ok && out.contains("0 users added, 300 existed already"),
                "{out}{err}"
            );
        } else {
            assert!(ok && out.contains("300 users added"), "{out}{err}");
        }
        let (ok, out, _) = run(&["user", "list"], "");
        assert!(ok);
        assert_eq!(out.lines().count(), 300);
        assert!(run(&["user", "quota", "user001", "5 GiB"], "").0);
        assert!(run(&["user", "list", "USER001"], "").1.contains("5 GiB"));
        let limits = ["user", "quota", "user001", "--messages", "900"];
        assert!(run(&limits, "").0);
        let limits = ["user", "quota", "user001", "--mailboxes", "40"];
        let (ok, said, _) = run(&limits, "");
        assert!(ok && said.contains("40 mailboxes"), "{said}");
        let (_, shown, _) = run(&["user", "list", "user001"], "");
        for limit in ["5 GiB", " of 900\n", "mailboxes: 6 of 40\n"] {
            assert!(shown.contains(limit), "{shown}");
        }
        let (ok, said, _) = run(&["user", "hide", "user001", "NOTIFY", "SORT"], "");
        assert!(ok && said.contains("NOTIFY SORT"), "{said}");
        let (_, shown, _) = run(&["user", "list", "user001"], "");
        assert!(shown.contains("hidden:    NOTIFY SORT\n"), "{shown}");
        let (ok, _, err) = run(&["user", "hide", "user001", "NOTHING"], "");
        assert!(!ok && err.contains("NOTHING"), "{err}");
        let limits = ["user", "quota", "user001", "--messages", "default"];
        assert!(run(&limits, "").0);
        let (ok, _, err) = run(&["user", "quota", "user001"], "");
        assert!(!ok && err.contains("--messages"), "{err}");
        let (ok, _, err) = run(&["user", "remove", "nobody"], "");
        assert!(!ok && err.contains("nobody: no such user"), "{err}");
        let (ok, _, err) = run(&["user", "add", "a b", "--password-stdin"], "x");
        assert!(!ok && err.contains("spaces"), "{err}");
        let (ok, _, err) = run(&["user", "add", "carol", "--password-stdin"], "\n");
        assert!(!ok && err.contains("password is empty"), "{err}");
        if let Some(server) = server {
            server.add_user("carol", "x");
            assert!(run(&["user", "remove", "carol"], "").0);
            assert!(run(&["status"], "").1.contains("runs"));
        }
    }
    assert!(!run(&["status"], "").0);
}

/// No core dumps, nothing for others to read, and a word about a key that others can read.
#[test]
fn the_process_keeps_its_secrets() {
    use std::os::unix::fs::PermissionsExt;

    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    drop(Server::start(&data));
    let key = data.join("tls/key.pem");
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&key) & 0o077, 0);
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let server = Server::start(&data);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.pid())).unwrap();
    let cores = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"));
    assert_eq!(cores.unwrap().split_whitespace().nth(4), Some("0"));
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    assert!(status.contains("Umask:\t0077"), "{status}");
    server.signal("HUP");
    server.wait_for_log("everybody on this machine can read");
}

#[test]
fn a_new_certificate_is_used_after_sighup() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let server = Server::start(&data);
    server.imaps().expect("* OK ");
    // Another server's certificate.
    let other = dir.path().join("other");
    drop(Server::start(&other));
    for file in ["tls/key.pem", "tls/cert.pem"] {
        std::fs::copy(other.join(file), data.join(file)).unwrap();
    }
    server.signal("HUP");
    server.wait_for_log("certificate loaded");
    // The client trusts only what lies in the directory now.
    server.imaps().expect("* OK ");
}

#[test]
fn the_configuration_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let server = Server::start(&data);
    let file = data.with_extension("toml");
    let before = std::fs::read_to_string(&file).unwrap();
    server.add_user("ada", "tanstaaf");
    let mut open = server.imaps();
    open.expect("* OK ");
    assert!(open.ok("CAPABILITY")[0].contains(" NOTIFY "));
    let more = "[imap]\nhidden_capabilities = [\"NOTIFY\"]\n[mail]\nquota = \"1 GiB\"\n";
    std::fs::write(&file, format!("{before}{more}")).unwrap();
    let reload = || {
        let output = server.command(&["reload"], "");
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(text).unwrap())
    };
    let (success, said) = reload();
    assert!(success, "{said}");
    assert!(
        said.contains("imap.hidden_capabilities; only a restart changes: mail.quota"),
        "{said}"
    );
    // The flags of the command line hold still; who is connected goes on as before.
    let mut new = server.imaps();
    new.expect("* OK ");
    assert!(!new.ok("CAPABILITY")[0].contains(" NOTIFY "));
    assert!(open.ok("CAPABILITY")[0].contains(" NOTIFY "));
    // A file that is not valid changes nothing, and says why.
    std::fs::write(&file, format!("{before}[imap]\nhide = 1\n")).unwrap();
    server.signal("HUP");
    server.wait_for_log("not reloaded; nothing is changed");
    new.ok("LOGIN ada tanstaaf");
    std::fs::write(&file, before).unwrap();
    let (_, said) = reload();
    assert!(
        said.ends_with("new connections: imap.hidden_capabilities\n"),
        "{said}"
    );
}

#[test]
fn two_servers_on_one_directory_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let _server = Server::start(&data);
    let output = command(
        &data,
        &[
            "serve",
            "--imap",
            "127.0.0.1:0",
            "--imaps",
            "none",
            "--lmtp",
            "none",
        ],
        "",
    );
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && text.contains("in use by another process"),
        "{text}"
    );
}

#[test]
fn config_commands() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("restante.toml");
    let example = restante().args(["config", "example"]).output().unwrap();
    std::fs::write(&file, example.stdout).unwrap();
    let check = || {
        restante()
            .args(["config", "check"])
            .arg(&file)
            .output()
            .unwrap()
    };
    assert!(check().status.success());
    std::fs::write(&file, "[listen]\nimpa = []\n").unwrap();
    let output = check();
    assert!(!output.status.success());
    let error = String::from_utf8(output.stderr).unwrap();
    let expected = format!("{}:2: listen.impa: unknown key `impa`", file.display());
    assert!(error.contains(&expected), "{error}");
}

#[test]
fn version() {
    let output = restante().arg("--version").output().unwrap();
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        format!("restante {}\n", env!("CARGO_PKG_VERSION"))
    );
}
