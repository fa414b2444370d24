"""Who guesses passwords waits, can be seen and forgiven, and is found in the log by fail2ban."""

import imaplib
import re
import subprocess
import time

import pytest
from conftest import ROOT

FILTER = ROOT / "contrib" / "fail2ban" / "restante.conf"


def connect(server):
    return imaplib.IMAP4_SSL("localhost", server.imaps, ssl_context=server.tls(), timeout=60)


def guess(server, name, passwords):
    """The time of each try."""
    times = []
    for password in passwords:
        imap = connect(server)
        begin = time.monotonic()
        with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"):
            imap.login(name, password)
        times.append(time.monotonic() - begin)
        imap.shutdown()
    return times


def test_who_guesses_waits_and_is_forgiven(server, user):
    times = guess(server, user, [f"guess {n}" for n in range(8)])
    assert times[7] > times[0] + 1.5, times
    shown = server.run("throttle", "list").stdout
    assert f"{user} from 127.0.0.1" in shown and f"{user} from new networks" in shown
    assert re.search(r"^ +[1-9][0-9.]*s +[78] +" + user, shown, re.M), shown
    assert server.run("throttle", "clear", "--user", user).stdout == "2 counts are forgotten.\n"
    assert user not in server.run("throttle", "list").stdout
    connect(server).login(user, "secret")
    for nothing in ([], ["--all", "--user", "x"]):
        with pytest.raises(subprocess.CalledProcessError):
            server.run("throttle", "clear", *nothing)


def test_unknown_users_look_like_known_ones(server, user):
    def answers(name):
        imap = connect(server)
        said = []
        for command in ("LOGIN", "PLAIN"):
            try:
                if command == "LOGIN":
                    imap.login(name, "wrong " + command)
                else:
                    imap.authenticate("PLAIN", lambda _: f"\0{name}\0wrong too".encode())
            except imaplib.IMAP4.error as error:
                said.append(str(error))
        return said

    assert answers(user) == answers("nobody-" + user)
    server.run("throttle", "clear", "--all")


def test_the_record_of_logins(server, user):
    guess(server, user, ["wrong"])
    imap = connect(server)
    imap.login(user, "secret")
    imap.xatom("ID", '("name" "test client" "version" "1")')
    shown = server.run("user", "logins", user).stdout.splitlines()
    assert len(shown) == 2 and all("just now" in login for login in shown)
    assert shown[0].endswith("FAILED: wrong password")
    assert "127.0.0.1" in shown[1] and "LOGIN  TLSv1_3 TLS13_" in shown[1]
    assert 'name="test client"' in shown[1] and shown[1].endswith("ok")
    # It is there after a restart.
    server.stop()
    server.start()
    assert server.run("user", "logins", user).stdout.count("\n") == 2
    with pytest.raises(subprocess.CalledProcessError):
        server.run("user", "logins", "nobody")


@pytest.mark.parametrize("form", ["human", "json"])
def test_fail2ban_finds_failed_logins(make_server, tmp_path, form):
    server = make_server(f'[log]\nformat = "{form}"\n')
    name = server.add_user("ann")
    guess(server, name, ["wrong"])
    # What a client claims to be called is not taken for its address.
    guess(server, '"x peer=192.0.2.66:1 \\"peer\\":\\"192.0.2.66:1\\""', ["a", "b"])
    connect(server).login(name, "secret")
    found = subprocess.run(
        ["fail2ban-regex", "--out", "ip", str(server.log), str(FILTER)],
        capture_output=True, text=True, timeout=60)
    assert found.stdout.split() == ["127.0.0.1"] * 3, found.stdout + found.stderr


def test_app_passwords(server, user):
    made = server.run("user", "app-password", "add", user, "--label", "phone")
    password = made.stdout.strip()
    assert len(password) == 24 and "not shown again" in made.stderr
    connect(server).login(user, password)
    connect(server).login(user, "secret")
    shown = server.run("user", "app-password", "list", user).stdout
    assert "used just now  phone" in shown and password not in shown
    number = shown.split()[0]
    server.run("user", "app-password", "revoke", user, number)
    with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"):
        connect(server).login(user, password)
    assert server.run("user", "app-password", "list", user).stdout == ""
