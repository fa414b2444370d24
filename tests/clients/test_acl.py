"""Shared mailboxes: rights set by a client and by `restante acl`, seen and used by others."""

import imaplib

import pytest
from conftest import message


def connect(server, user):
    imap = imaplib.IMAP4_SSL("localhost", server.imaps, ssl_context=server.tls(), timeout=30)
    imap.login(user, "secret")
    return imap


def test_mailboxes_are_shared(make_server):
    server = make_server('[sharing]\nshared_user = "team"\ngroups = { staff = ["ann", "bob"] }\n')
    for user in ("ann", "bob", "eve", "team"):
        server.add_user(user)
    ann, bob, eve = (connect(server, user) for user in ("ann", "bob", "eve"))
    ann.create("Plans")
    ann.append("Plans", None, None, message("one"))
    assert ann.setacl("Plans", "bob", "lrsi")[0] == "OK"
    assert ann.getacl("Plans")[1] == [b"Plans ann lrswipkxteacd bob lrsi"]
    assert server.run("acl", "list", "--user", "ann").stdout == "Plans  bob  lrsi\n"

    assert bob.namespace()[1] == [b'(("" "/")) (("Other Users/" "/")) (("Shared/" "/"))']
    assert any(b'"Other Users/ann/Plans"' in line for line in bob.list()[1])
    assert bob.select('"Other Users/ann/Plans"') == ("OK", [b"1"])
    assert bob.append('"Other Users/ann/Plans"', None, None, message("two"))[0] == "OK"
    assert bob.copy("1", "INBOX")[0] == "OK"
    assert bob.expunge()[0] == "NO"
    assert ann.status("Plans", "(MESSAGES)")[1] == [b"Plans (MESSAGES 2)"]
    assert not any(b"Other Users" in line for line in eve.list()[1])
    assert eve.select('"Other Users/ann/Plans"')[0] == "NO"

    # By the administrator: for a group, for a mailbox of all.
    connect(server, "team").create("News")
    done = server.run("acl", "set", "--user", "team", "--mailbox", "News", "$staff", "lr")
    assert done.stdout == "News  $staff  lr\n"
    assert ann.select("Shared/News", readonly=True)[0] == "OK"
    assert eve.select("Shared/News", readonly=True)[0] == "NO"
    server.run("acl", "set", "--user", "team", "--mailbox", "News", "$staff", "-r")
    assert ann.select("Shared/News", readonly=True)[0] == "NO"
    done = server.run("acl", "set", "--user", "team", "--mailbox", "News", "$staff", "")
    assert done.stdout == "$staff has no rights to mailboxes of team.\n"
    assert server.run("acl", "list", "--user", "team").stdout == "team shares no mailbox.\n"

    # Who is gone has no rights, and leaves none to the next of that name.
    server.run("user", "remove", "bob")
    assert server.run("acl", "list", "--user", "ann").stdout == "ann shares no mailbox.\n"


def test_who_is_gone_shares_nothing(server):
    for user in ("cat", "dan"):
        server.add_user(user)
    cat, dan = connect(server, "cat"), connect(server, "dan")
    cat.append("INBOX", None, None, message("one"))
    cat.setacl("INBOX", "dan", "lr")
    assert dan.select('"Other Users/cat/INBOX"', readonly=True) == ("OK", [b"1"])
    assert dan.fetch("1", "(UID)")[1] == [b"1 (UID 1)"]
    server.run("user", "remove", "cat")
    with pytest.raises(imaplib.IMAP4.abort, match="You may not read this mailbox any more"):
        dan.fetch("1", "(BODY.PEEK[])")
