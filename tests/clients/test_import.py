"""`restante import`: Maildir with flags, keywords and UIDs; mbox; again without doubling; export."""

import imaplib
import mailbox as pymailbox

from conftest import message


def login(server, user):
    client = imaplib.IMAP4_SSL("localhost", server.imaps, ssl_context=server.tls())
    client.login(user, "secret")
    return client


def test_maildir_of_thousands_with_uids(server, user, tmp_path):
    source = tmp_path / "Maildir"
    for d in ("cur", "new", "tmp"):
        (source / d).mkdir(parents=True)
    uidlist = ["3 V1234567 N9001 G0123456789abcdef0123456789abcdef"]
    for n in range(3000):
        name = f"17000{n:05}.M1.host"
        (source / "cur" / f"{name}:2,{'S' if n % 2 else 'F'}{'a' if n % 10 == 0 else ''}").write_bytes(
            message(f"mail {n}", "x" * (n % 700) + "\n").replace(b"\r\n", b"\n"))
        uidlist.append(f"{3 * n + 1} :{name}")
    (source / "dovecot-uidlist").write_text("\n".join(uidlist) + "\n")
    (source / "dovecot-keywords").write_text("0 $Label1\n")
    sub = source / ".Archive.2025"
    for d in ("cur", "new", "tmp"):
        (sub / d).mkdir(parents=True)
    (sub / "new" / "1.M1.host").write_bytes(message("old one"))
    done = server.run("import", "--user", user, "--maildir", str(source))
    assert "3001" in done.stdout + done.stderr
    client = login(server, user)
    assert client.select()[1] == [b"3000"]
    assert client.response("UIDVALIDITY")[1] == [b"1234567"]
    assert int(client.response("UIDNEXT")[1][0]) >= 9001
    assert client.uid("FETCH", "4", "(FLAGS)")[1][0].count(b"\\Seen") == 1
    assert len(client.search(None, "KEYWORD", "$Label1")[1][0].split()) == 300
    assert client.uid("SEARCH", "UID", "1:30")[1] == [b"1 4 7 10 13 16 19 22 25 28"]
    assert client.select("Archive/2025")[1] == [b"1"]
    client.logout()
    again = server.run("import", "--user", user, "--maildir", str(source))
    client = login(server, user)
    assert client.select()[1] == [b"3000"], again.stdout
    client.logout()


def test_mbox_and_export(server, user, tmp_path):
    box = pymailbox.mbox(tmp_path / "old.mbox")
    for n in range(500):
        m = pymailbox.mboxMessage(message(f"mail {n}", "From the start\n> quoted\n"))
        m.set_flags("RO" if n % 2 else "O")
        box.add(m)
    box.flush()
    server.run("import", "--user", user, "--mbox", str(tmp_path / "old.mbox"), "--mailbox", "Old")
    client = login(server, user)
    assert client.select("Old")[1] == [b"500"]
    assert len(client.search(None, "SEEN")[1][0].split()) == 250
    client.logout()
    server.run("export", "--user", user, "--maildir", str(tmp_path / "out"))
    exported = list((tmp_path / "out").rglob("cur/*")) + list((tmp_path / "out").rglob("new/*"))
    assert len(exported) == 500
