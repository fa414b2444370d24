"""`restante purge`, while the server runs: a message is gone for everybody, and from the disk."""

import imaplib
import subprocess

import pytest
from conftest import message


def connect(server, user):
    imap = imaplib.IMAP4_SSL("localhost", server.imaps, ssl_context=server.tls(), timeout=30)
    imap.login(user, "secret")
    return imap


def is_on_disk(server, words):
    files = (path for path in server.data.rglob("*") if path.is_file())
    return any(words in path.read_bytes() for path in files)


def test_a_message_is_purged(server, user):
    imap, other = connect(server, user), connect(server, user)
    for number in range(1, 4):
        imap.append("INBOX", None, None, message(f"keep {number}"))
    secret = message("the words of the court order")
    imap.append("INBOX", None, None, secret)
    imap.create("Copies")
    imap.select("INBOX")
    imap.copy("4", "Copies")
    other.select("Copies")
    assert is_on_disk(server, b"court order")

    shown = server.run("purge", "--user", user, "--uid", "4").stdout
    assert "court order  [Copies UID 1, INBOX UID 4]" in shown and "Nothing is purged yet" in shown
    said = server.run("purge", "--user", user, "--uid", "4", "--reason", "12/26", "--yes").stdout
    assert said.startswith("1 message is purged") and "in 2 places" in said
    assert "12/26" in server.run("purge", "--user", user, "--list").stdout

    for session, left in ((imap, b"1 2 3"), (other, b"")):
        assert session.noop()[0] == "OK"
        assert session.uid("SEARCH", "ALL")[1] == [left]
    assert "No expunged" in server.run("undelete", "--user", user, "--mailbox", "Copies", "--list").stdout
    for place in ("log", "snapshot", "blobs", "lost"):
        files = [path for path in server.data.rglob("*") if path.is_file() and place in path.parts]
        assert not any(b"court order" in path.read_bytes() for path in files), place
    imap.select("INBOX")
    assert imap.fetch("3", "(BODY[TEXT])")[0] == "OK"
    assert "All is well." in server.run("check", "--deep").stdout
    for wrong in (["--uid", "4"], ["--uid", "1", "--yes"], ["--message-id", "x"], []):
        with pytest.raises(subprocess.CalledProcessError):
            server.run("purge", "--user", user, *wrong)
