//! Import and export by the real binary, with and without a running server.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Server, command};

fn run(data: &Path, args: &[&str]) -> String {
    let output = command(data, args, "");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{args:?}: {text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

/// A Maildir as Dovecot leaves it, with 300 messages in INBOX and one in Archive/2025.
fn maildir(dir: &Path) -> PathBuf {
    let root = dir.join("Maildir");
    let sub = root.join(".Archive.2025");
    for folder in [&root, &sub] {
        for part in ["cur", "new", "tmp"] {
            fs::create_dir_all(folder.join(part)).unwrap();
        }
    }
    let mut uidlist = "3 V1234567 N9001 G0123456789abcdef\n".to_owned();
    for n in 0..300 {
        let name = format!("17000{n:05}.M1.host");
        let flags = if n % 2 == 1 { "S" } else { "Fa" };
        let text = format!("Subject: mail {n}\n\n{}\n", "x".repeat(n));
        fs::write(root.join("cur").join(format!("{name}:2,{flags}")), text).unwrap();
        uidlist.push_str(&format!("{} :{name}\n", 3 * n + 1));
    }
    fs::write(root.join("dovecot-uidlist"), uidlist).unwrap();
    fs::write(root.join("dovecot-keywords"), "0 $Label1\n").unwrap();
    fs::write(sub.join("new/1.M1.host"), "Subject: old\r\n\r\nold\r\n").unwrap();
    // What is no file is no message: a pipe would be waited for without end.
    let pipe = Command::new("mkfifo")
        .arg(root.join("cur/17.pipe"))
        .status();
    assert!(pipe.unwrap().success());
    std::os::unix::fs::symlink("nowhere", root.join("new/18.dangling")).unwrap();
    root
}

#[test]
fn a_maildir_keeps_uids_flags_and_keywords_and_comes_back() {
    for with_server in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let source = maildir(dir.path());
        let source = source.to_str().unwrap();
        let mut server = with_server.then(|| Server::start(&data));
        let output = command(&data, &["user", "add", "ada", "--password-stdin"], "x");
        assert!(output.status.success());

        let import = ["import", "--user", "ada", "--maildir", source];
        let text = run(&data, &import);
        assert!(text.contains("301 messages imported."), "{text}");
        let text = run(&data, &import);
        assert!(
            text.contains("0 messages imported.\n301 were there already."),
            "{text}"
        );

        let running = server.take().unwrap_or_else(|| Server::start(&data));
        let mut client = running.plain();
        client.expect("* OK ");
        client.ok("LOGIN ada x");
        let lines = client.ok("SELECT INBOX").join("\n");
        for expected in ["* 300 EXISTS", "UIDVALIDITY 1234567]", "UIDNEXT 9001]"] {
            assert!(lines.contains(expected), "{expected}: {lines}");
        }
        let lines = client.ok("UID FETCH 4,7 (FLAGS RFC822.SIZE)").join("\n");
        assert!(lines.contains("UID 4 FLAGS (\\Seen"), "{lines}");
        assert!(
            lines.contains("$Label1") && lines.contains("\\Flagged"),
            "{lines}"
        );
        // 15 + 2 of the header, an empty line, one x and CRLF.
        assert!(lines.contains("RFC822.SIZE 22"), "{lines}");
        let lines = client.ok("SELECT Archive/2025").join("\n");
        assert!(lines.contains("* 1 EXISTS"), "{lines}");
        // What a user deletes stays deleted.
        client.ok("SELECT INBOX");
        client.ok("UID STORE 1 +FLAGS (\\Deleted)");
        client.ok("EXPUNGE");
        drop(client);
        let text = run(&data, &import);
        assert!(text.contains("0 messages imported."), "{text}");

        let out = dir.path().join("out");
        let export = [
            "export",
            "--user",
            "ada",
            "--maildir",
            out.to_str().unwrap(),
        ];
        assert!(run(&data, &export).contains("300 messages exported."));
        let text = run(&data, &export);
        assert!(
            text.contains("0 messages exported.\n300 were there already."),
            "{text}"
        );
        let uidlist = fs::read_to_string(out.join("dovecot-uidlist")).unwrap();
        assert!(uidlist.starts_with("3 V1234567 N9001\n4 :"), "{uidlist}");
        let files = fs::read_dir(out.join("cur")).unwrap();
        let mut bodies: Vec<_> = files
            .map(|f| fs::read_to_string(f.unwrap().path()).unwrap())
            .collect();
        bodies.sort_by_key(String::len);
        assert_eq!(
            (bodies.len(), bodies[0].as_str()),
            (299, "Subject: mail 1\n\nx\n")
        );

        // What was exported can be imported for another user, with the same UIDs.
        let output = command(&data, &["user", "add", "bob", "--password-stdin"], "x");
        assert!(output.status.success());
        let again = [
            "import",
            "--user",
            "bob",
            "--maildir",
            out.to_str().unwrap(),
        ];
        assert!(run(&data, &again).contains("300 messages imported."));
        let mut client = running.plain();
        client.expect("* OK ");
        client.ok("LOGIN bob x");
        let lines = client.ok("SELECT INBOX").join("\n");
        for expected in ["* 299 EXISTS", "UIDVALIDITY 1234567]", "UIDNEXT 9001]"] {
            assert!(lines.contains(expected), "{expected}: {lines}");
        }
        assert!(run(&data, &["check", "--deep"]).contains("All is well."));
        drop(running);
        assert!(run(&data, &["check"]).contains("2 accounts, 14 mailboxes"));
    }
}

#[test]
fn a_backup_of_a_running_server_can_be_served() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let copy = dir.path().join("copy");
    fs::create_dir(&copy).unwrap();
    // The server writes it, in its sandbox.
    let settings = format!("[service]\nwritable = [{copy:?}]\n");
    let server = Server::start_with(&data, &settings);
    server.add_user("ada", "x");
    server.lmtp().deliver("ada", "Subject: kept\r\n\r\nx");
    let to = copy.join("store");
    assert!(run(&data, &["backup", "--to", to.to_str().unwrap()]).contains("Copied"));
    server.lmtp().deliver("ada", "Subject: too late\r\n\r\nx");
    drop(server);
    assert!(run(&copy, &["user", "list", "ada"]).contains("messages:  1"));
    assert!(run(&copy, &["check", "--deep"]).contains("All is well."));
}

#[test]
fn an_mbox_keeps_flags_and_dates() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let server = Server::start(&data);
    server.add_user("ada", "x");
    let mut text = String::new();
    for n in 0..50 {
        let status = if n % 2 == 0 { "RO" } else { "O" };
        text.push_str(&format!(
            "From a@b Fri Jul  8 12:08:{n:02} 2011\nSubject: mail {n}\nStatus: {status}\n\n>From x\n\n"
        ));
    }
    let file = dir.path().join("old.mbox");
    fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    let import = [
        "import",
        "--user",
        "ada",
        "--mbox",
        file,
        "--mailbox",
        "Old/Mail",
    ];
    assert!(run(&data, &import).contains("50 messages imported."));
    assert!(run(&data, &import).contains("0 messages imported.\n50 were there already."));
    let mut client = server.plain();
    client.expect("* OK ");
    client.ok("LOGIN ada x");
    let lines = client.ok("SELECT Old/Mail").join("\n");
    assert!(lines.contains("* 50 EXISTS"), "{lines}");
    let lines = client
        .ok("FETCH 1:2 (FLAGS INTERNALDATE BODY.PEEK[])")
        .join("\n");
    assert!(lines.contains(" 8-Jul-2011 12:08:00 +0000"), "{lines}");
    assert!(
        lines.matches("\\Seen").count() == 1 && lines.contains("\nFrom x"),
        "{lines}"
    );
    assert!(!lines.contains("Status:"), "{lines}");
}

#[test]
fn an_mbox_keeps_its_uids() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let server = Server::start(&data);
    server.add_user("ada", "x");
    let mut text = String::new();
    for n in 1..=3 {
        let base = if n == 1 {
            "X-IMAPbase: 4242 20 $Label1\n"
        } else {
            ""
        };
        let uid = n * 5;
        text.push_str(&format!(
            "From a@b Fri Jul  8 12:08:{n:02} 2011\n{base}X-UID: {uid}\nSubject: {n}\nX-Keywords: $Label1 b(d\n\nx\n\n"
        ));
    }
    // Came after the last program that gave out UIDs: 20 was a message that is gone.
    text.push_str("From a@b Fri Jul  8 12:09:00 2011\nSubject: new\n\nx\n\n");
    let file = dir.path().join("old.mbox");
    fs::write(&file, &text).unwrap();
    let path = file.to_str().unwrap();
    let import = [
        "import",
        "--user",
        "ada",
        "--mbox",
        path,
        "--mailbox",
        "Old",
    ];
    let said = run(&data, &import);
    assert!(said.contains("4 messages imported."), "{said}");
    assert!(said.contains("1 messages without a usable X-UID"), "{said}");
    assert!(said.contains("X-Keywords: b(d."), "{said}");
    text.push_str("From a@b Fri Jul  8 12:10:00 2011\nSubject: newer\n\nxx\n\n");
    fs::write(&file, &text).unwrap();
    let said = run(&data, &import);
    assert!(
        said.contains("1 messages imported.\n4 were there already."),
        "{said}"
    );
    let mut client = server.plain();
    client.expect("* OK ");
    client.ok("LOGIN ada x");
    let lines = client.ok("SELECT Old").join("\n");
    assert!(lines.contains("[UIDVALIDITY 4242]"), "{lines}");
    assert!(lines.contains("[UIDNEXT 23]"), "{lines}");
    let lines = client.ok("UID SEARCH KEYWORD $Label1").join("\n");
    assert!(lines.contains("* SEARCH 5 10 15"), "{lines}");
    let lines = client.ok("UID SEARCH ALL").join("\n");
    assert!(lines.contains("* SEARCH 5 10 15 21 22"), "{lines}");
}

/// Two of one size that came in one second are told apart by what they say.
#[test]
fn messages_that_look_alike_are_not_taken_for_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let output = command(&data, &["user", "add", "ada", "--password-stdin"], "x");
    assert!(output.status.success());
    let root = dir.path().join("Maildir");
    // Both folders are INBOX.
    for (folder, text) in [(root.clone(), "one"), (root.join(".INBOX"), "two")] {
        for part in ["cur", "new", "tmp"] {
            fs::create_dir_all(folder.join(part)).unwrap();
        }
        let path = folder.join("new/1.M1.host");
        fs::write(&path, format!("Subject: {text}\n\n")).unwrap();
        let second = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000);
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(second).unwrap();
    }
    let import = [
        "import",
        "--user",
        "ada",
        "--maildir",
        root.to_str().unwrap(),
    ];
    let text = run(&data, &import);
    assert!(text.contains("2 messages imported."), "{text}");
    let text = run(&data, &import);
    assert!(
        text.contains("0 messages imported.\n2 were there already."),
        "{text}"
    );
}

#[test]
fn what_cannot_be_imported_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let output = command(&data, &["user", "add", "ada", "--password-stdin"], "x");
    assert!(output.status.success());
    let fails = |args: &[&str]| {
        let output = command(&data, args, "");
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let nowhere = dir.path().join("nowhere");
    let nowhere = nowhere.to_str().unwrap();
    assert!(fails(&["import", "--user", "ada", "--maildir", nowhere]).contains("not a Maildir"));
    assert!(fails(&["import", "--user", "ada", "--mbox", nowhere]).contains("No such file"));
    let source = maildir(dir.path());
    let unknown = fails(&[
        "import",
        "--user",
        "nobody",
        "--maildir",
        source.to_str().unwrap(),
    ]);
    // Someone of another source of users who never logged in has no account yet.
    for said in ["no such user", "restante user add NAME", "--no-password"] {
        assert!(unknown.contains(said), "{unknown}");
    }
    let unknown = fails(&["export", "--user", "nobody", "--maildir", nowhere]);
    assert!(unknown.contains("no such user"), "{unknown}");
}
