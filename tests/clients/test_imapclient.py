"""IMAPClient: IDLE, CONDSTORE, SPECIAL-USE, UIDPLUS, quota of names, Unicode."""

import smtplib
import threading

import imapclient
import pytest
from conftest import message


@pytest.fixture
def client(server, user):
    c = imapclient.IMAPClient("localhost", server.imaps, ssl_context=server.tls())
    c.login(user, "secret")
    yield c
    c.logout()


def test_select_and_status(client):
    client.append("INBOX", message("one"), flags=[imapclient.FLAGGED])
    info = client.select_folder("INBOX")
    assert info[b"EXISTS"] == 1 and info[b"UIDNEXT"] == 2 and info[b"UIDVALIDITY"] > 0
    assert info[b"HIGHESTMODSEQ"] > 0
    status = client.folder_status("INBOX", ["MESSAGES", "UNSEEN", "UIDNEXT", "HIGHESTMODSEQ"])
    assert status[b"MESSAGES"] == 1 and status[b"UNSEEN"] == 1


def test_idle_announces_a_delivery_at_once(server, user, client):
    client.select_folder("INBOX")
    client.idle()
    def deliver():
        with smtplib.LMTP("localhost", server.lmtp) as lmtp:
            lmtp.sendmail("ann@example.org", [user], message("news"))

    thread = threading.Thread(target=deliver)
    thread.start()
    told = client.idle_check(timeout=60)
    thread.join()
    assert (1, b"EXISTS") in told
    client.idle_done()


def test_fetch_structures(client):
    raw = message("structured", "text\n", Cc='"Doe, John" <john@example.org>, team: a@b.example, c@d.example;')
    client.append("INBOX", raw)
    client.select_folder("INBOX")
    row = client.fetch([1], ["ENVELOPE", "BODYSTRUCTURE", "BODY[TEXT]", "RFC822.SIZE"])[1]
    assert row[b"ENVELOPE"].subject == b"structured"
    assert row[b"ENVELOPE"].cc[0].name == b"Doe, John"
    assert row[b"BODYSTRUCTURE"][0:2] == (b"text", b"plain")
    assert row[b"BODY[TEXT]"] == b"text\r\n"
    assert row[b"RFC822.SIZE"] == len(raw)


def test_condstore_changed_since(client):
    for n in range(10):
        client.append("INBOX", message(str(n)))
    info = client.select_folder("INBOX")
    before = info[b"HIGHESTMODSEQ"]
    client.add_flags([3, 7], [imapclient.SEEN])
    changed = client.fetch(list(range(1, 11)), ["FLAGS"], [f"CHANGEDSINCE {before}"])
    assert sorted(changed) == [3, 7]


def test_search(client):
    client.append("INBOX", message("Über den Wolken", "muß die Freiheit\n"))
    client.append("INBOX", message("Invoice 17", "to pay\n"), flags=[imapclient.SEEN])
    client.select_folder("INBOX")
    assert client.search(["SUBJECT", "über"], charset="UTF-8") == [1]
    assert client.search(["BODY", "freiheit"]) == [1]
    assert client.search(["OR", "SEEN", "SUBJECT", "wolken"]) == [1, 2]
    assert client.search(["NOT", "FROM", "ann"]) == []


def test_special_use(client):
    client.create_folder("Sent-Mail-Archive")
    special = {flag for flags, _, _ in client.list_folders() for flag in flags}
    assert b"\\Sent" in special and b"\\Trash" in special


def test_unicode_folder_names(client):
    client.create_folder("Привет/мир")
    names = [name for _, _, name in client.list_folders()]
    assert "Привет/мир" in names and "Привет" in names


def test_move_and_uid_expunge(client):
    for n in range(4):
        client.append("INBOX", message(str(n)))
    client.create_folder("Elsewhere")
    client.select_folder("INBOX")
    client.move([1, 2], "Elsewhere")
    client.add_flags([3, 4], [imapclient.DELETED])
    client.uid_expunge([4])
    assert client.search() == [3]
