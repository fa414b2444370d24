"""`restante undelete`, while the server runs: what a client deleted comes back, and the client sees it."""

import imaplib
import subprocess

import pytest
from conftest import message


def connect(server, user):
    imap = imaplib.IMAP4_SSL("localhost", server.imaps, ssl_context=server.tls(), timeout=30)
    imap.login(user, "secret")
    return imap


def test_expunged_messages_come_back(server, user):
    imap = connect(server, user)
    for number in range(1, 6):
        imap.append("INBOX", "(\\Flagged)", None, message(f"Grüße {number}"))
    imap.select("INBOX")
    imap.store("2:4", "+FLAGS", "\\Deleted")
    imap.expunge()
    assert "No deleted mailbox" in server.run("undelete", "--user", user, "--list").stdout
    shown = server.run("undelete", "--user", user, "--mailbox", "INBOX", "--list").stdout
    assert [f"Grüße {number}" in shown for number in range(1, 6)] == [False, True, True, True, False]
    assert server.run("undelete", "--user", user, "--uid", "3").stdout == "1 message is back.\n"
    assert server.run("undelete", "--user", user, "--since", "1h", "--uid", "2,4:9").stdout == "2 messages are back.\n"
    assert imap.noop()[0] == "OK"
    assert imap.uid("SEARCH", "FLAGGED")[1] == [b"1 5 6 7 8"]
    assert imap.uid("SEARCH", "DELETED")[1] == [b""]


def test_a_deleted_mailbox_comes_back(server, user):
    imap = connect(server, user)
    imap.create("Projects/2026")
    for number in range(3):
        imap.append("Projects/2026", None, None, message(f"plan {number}"))
    imap.delete("Projects/2026")
    shown = server.run("undelete", "--user", user, "--list").stdout
    assert "Projects/2026" in shown and " 3 " in shown
    said = server.run("undelete", "--user", user, "--deleted-mailbox", "Projects/2026", "--as", "Back").stdout
    assert said == "3 messages are back.\n"
    assert imap.select("Back")[1] == [b"3"]
    assert imap.uid("SEARCH", "SUBJECT", "plan")[1] == [b"1 2 3"]
    for wrong in (["--deleted-mailbox", "Nothing"], ["--uid", "x"], []):
        with pytest.raises(subprocess.CalledProcessError):
            server.run("undelete", "--user", user, *wrong)
