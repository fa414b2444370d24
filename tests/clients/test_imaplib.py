"""Python's own imaplib: the plainest of clients."""

import imaplib
import smtplib
import time

import pytest
from conftest import message


@pytest.fixture
def imap(server, user):
    client = imaplib.IMAP4_SSL("localhost", server.imaps, ssl_context=server.tls())
    client.login(user, "secret")
    yield client
    client.logout()


def ok(answer):
    assert answer[0] == "OK", answer
    return answer[1]


def test_login_is_refused_with_a_wrong_password(server, user):
    client = imaplib.IMAP4_SSL("localhost", server.imaps, ssl_context=server.tls())
    with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"):
        client.login(user, "wrong")


def test_starttls(server, user):
    client = imaplib.IMAP4("localhost", server.imap)
    assert "STARTTLS" in client.capabilities
    client.starttls(server.tls())
    client.login(user, "secret")
    ok(client.select())
    client.logout()


def test_append_fetch_store_search_delete(imap):
    raw = message("Grüße aus der Poststelle", "Ein Brief wartet.\n")
    ok(imap.append("INBOX", r"(\Seen $Forwarded)", '"02-Nov-2026 10:00:00 +0100"', raw))
    assert ok(imap.select()) == [b"1"]
    assert ok(imap.fetch("1", "(BODY.PEEK[])"))[0][1] == raw
    line = ok(imap.fetch("1", "(FLAGS INTERNALDATE RFC822.SIZE)"))[0]
    assert b"$Forwarded" in line and b'" 2-Nov-2026 10:00:00 +0100"' in line
    assert b"RFC822.SIZE %d" % len(raw) in line
    imap.literal = "grüße".encode()
    assert ok(imap.search("UTF-8", "SUBJECT")) == [b"1"]
    assert ok(imap.search(None, "UNSEEN")) == [b""]
    ok(imap.store("1", "+FLAGS", r"(\Deleted)"))
    assert ok(imap.expunge()) == [b"1"]
    assert ok(imap.select()) == [b"0"]


def test_mailboxes_with_unicode_names(imap):
    ok(imap.create('"Entw&APw-rfe/Reisen"'))
    names = b"\n".join(ok(imap.list()))
    assert b"Entw&APw-rfe/Reisen" in names
    ok(imap.subscribe('"Entw&APw-rfe"'))
    assert b"Entw&APw-rfe" in b"\n".join(ok(imap.lsub()))
    ok(imap.rename('"Entw&APw-rfe"', "Drafts2"))
    assert b"Drafts2/Reisen" in b"\n".join(ok(imap.list()))
    ok(imap.delete("Drafts2/Reisen"))
    ok(imap.delete("Drafts2"))


def test_copy_and_move(imap):
    for n in range(5):
        ok(imap.append("INBOX", None, None, message(f"number {n}")))
    ok(imap.create("Shelf"))
    ok(imap.select())
    ok(imap.copy("1:2", "Shelf"))
    typ, data = imap.uid("MOVE", "3:5", "Shelf")
    assert typ == "OK"
    assert ok(imap.select()) == [b"2"]
    assert ok(imap.select("Shelf")) == [b"5"]


def test_delivery_by_lmtp_is_seen(server, user, imap):
    ok(imap.select())
    with smtplib.LMTP("localhost", server.lmtp) as lmtp:
        refused = lmtp.sendmail("ann@example.org", [user, "nobody-here"], message("by LMTP"))
        assert list(refused) == ["nobody-here"] and refused["nobody-here"][0] == 550
    deadline = time.monotonic() + 60
    while imap.noop() and imap.untagged_responses.get("EXISTS", [b"0"])[-1] != b"1":
        assert time.monotonic() < deadline
    headers = ok(imap.fetch("1", "(BODY[HEADER.FIELDS (RETURN-PATH SUBJECT)])"))[0][1]
    assert b"<ann@example.org>" in headers and b"by LMTP" in headers
