"""fetchmail, imapfilter, offlineimap, Perl's Mail::IMAPClient and aerc: each does what people have it for, and
another connection sees that it is done."""

import fcntl
import imaplib
import os
import pathlib
import pty
import select
import shutil
import subprocess
import termios
import time

import pytest

from conftest import message


def connect(server, user):
    """A connection beside the client's."""
    connection = imaplib.IMAP4_SSL("localhost", server.imaps, ssl_context=server.tls())
    connection.login(user, "secret")
    return connection


@pytest.fixture
def mailbox(server, user):
    connection = connect(server, user)
    yield connection
    connection.logout()


def fill(mailbox, *letters):
    for letter in letters:
        assert mailbox.append("INBOX", None, None, letter)[0] == "OK"


def subjects(mailbox, name):
    """The subjects in a mailbox, each with the flags of its message."""
    assert mailbox.select(name, readonly=True)[0] == "OK"
    found = {}
    for number in mailbox.search(None, "ALL")[1][0].split():
        data = mailbox.fetch(number, "(FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])")[1]
        # What others changed meanwhile may come with it.
        at = next(at for at, part in enumerate(data) if isinstance(part, tuple))
        subject = data[at][1].decode().split(":", 1)[1].strip()
        found[subject] = {flag.decode() for flag in imaplib.ParseFlags(data[at][0] + b" " + data[at + 1])}
    return found


def run(*command, codes=(0,), **keywords):
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, **keywords)
    assert done.returncode in codes, done.stdout + done.stderr
    return done.stdout


def test_fetchmail_takes_the_new_mail(server, user, mailbox, tmp_path):
    fill(mailbox, message("first"), message("second", "Zwei\n"))
    assert mailbox.select("INBOX")[0] == "OK"
    mailbox.store("1", "+FLAGS", "\\Seen")
    mailbox.unselect()
    trusted = tmp_path / "trusted"
    trusted.mkdir()
    shutil.copy(server.certificate, trusted / "server.pem")
    run("openssl", "rehash", str(trusted))
    rc = tmp_path / "fetchmailrc"
    rc.write_text(f'poll localhost protocol IMAP port {server.imaps} user "{user}" password "secret" ssl '
                  f'sslcertck sslcertpath "{trusted}" keep mda "cat >> {tmp_path}/got"\n')
    rc.chmod(0o600)
    environment = dict(os.environ, HOME=str(tmp_path), FETCHMAILHOME=str(tmp_path))
    run("fetchmail", "-f", str(rc), "-v", env=environment)
    got = (tmp_path / "got").read_text()
    assert "Subject: second" in got and "Subject: first" not in got
    assert all("\\Seen" in flags for flags in subjects(mailbox, "INBOX").values())
    # There is nothing new any more.
    run("fetchmail", "-f", str(rc), env=environment, codes=(1,))


def test_imapfilter_sorts_mail(server, user, mailbox, tmp_path):
    fill(mailbox, message("about lists", List_Id="<dev.example.org>"), message("from a friend"),
         message("old advertising", sender="shop@example.com"))
    script = tmp_path / "config.lua"
    script.write_text(f"""
options.create = true
options.subscribe = true
account = IMAP {{ server = "localhost", port = {server.imaps}, ssl = "auto", username = "{user}", password = "secret" }}
lists = account.INBOX:contain_field("List-Id", "dev.example.org")
lists:move_messages(account["Lists/dev"]);
(account.INBOX:contain_from("shop@example.com") * account.INBOX:is_unseen()):delete_messages()
account.INBOX:contain_subject("friend"):mark_flagged()
""")
    run("imapfilter", "-t", server.certificate, "-c", str(script), env=dict(os.environ, HOME=str(tmp_path)))
    assert set(subjects(mailbox, '"Lists/dev"')) == {"about lists"}
    inbox = subjects(mailbox, "INBOX")
    assert "\\Flagged" in inbox["from a friend"]
    assert "old advertising" not in inbox or "\\Deleted" in inbox["old advertising"]


def test_offlineimap_syncs_both_ways(server, user, mailbox, tmp_path):
    fill(mailbox, message("here first"), message("delete me"))
    rc = tmp_path / "offlineimaprc"
    rc.write_text(f"""
[general]
accounts = Test
metadata = {tmp_path}/metadata
ui = basic
[Account Test]
localrepository = Local
remoterepository = Remote
[Repository Local]
type = Maildir
localfolders = {tmp_path}/mail
[Repository Remote]
type = IMAP
remotehost = localhost
remoteport = {server.imaps}
remoteuser = {user}
remotepass = secret
ssl = yes
sslcacertfile = {server.certificate}
""")
    environment = dict(os.environ, HOME=str(tmp_path))
    sync = ("/usr/bin/python3", "-W", "ignore", "/usr/bin/offlineimap", "-c", str(rc), "-o")
    run(*sync, env=environment)
    inbox = tmp_path / "mail" / "INBOX"
    files = [file for part in ("new", "cur") for file in (inbox / part).iterdir()]
    assert len(files) == 2
    for file in files:
        if "delete me" in file.read_text():
            file.unlink()
        else:
            name = file.name.split(":2,")[0] + ":2,FS"
            file.rename(inbox / "cur" / name)
    (inbox / "cur" / "1700000000.1_1.host:2,S").write_bytes(message("there first").replace(b"\r\n", b"\n"))
    run(*sync, env=environment)
    found = subjects(mailbox, "INBOX")
    assert found["here first"] >= {"\\Seen", "\\Flagged"}
    assert "\\Seen" in found["there first"]
    assert "delete me" not in found or "\\Deleted" in found["delete me"]


def test_perl_mail_imapclient(server, user, mailbox, tmp_path):
    fill(mailbox, message("one"), message("two"))
    script = pathlib.Path(__file__).with_name("imapclient.pl")
    out = run("perl", str(script), str(server.imaps), user, "secret", server.certificate)
    assert out.strip().splitlines()[-1] == "done", out
    assert set(subjects(mailbox, "Perl")) == {"one"}
    assert "\\Flagged" in subjects(mailbox, "INBOX")["two"]


class Terminal:
    """A program on a terminal of its own, with somebody before it who types."""

    def __init__(self, command, environment):
        self.ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (40, 120))
        self.process = subprocess.Popen(command, env=environment, stdin=theirs, stdout=theirs, stderr=theirs,
                                        start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(theirs)
        self.screen = b""

    def read(self, seconds):
        while select.select([self.ours], [], [], seconds)[0]:
            try:
                self.screen += os.read(self.ours, 65536)
            except OSError:  # the other side is closed
                return
            seconds = 0

    def until(self, condition, what):
        deadline = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < deadline, f"{what}: {self.screen[-3000:]!r}"
            self.read(0.1)

    def type(self, keys):
        os.write(self.ours, keys.encode())
        self.read(0.3)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.ours)


def test_aerc_threads_files_and_flags(make_server, tmp_path):
    server = make_server('[log]\nlevel = "debug"\n')
    user = server.add_user("ann")
    mailbox = connect(server, user)
    first = message("a question")
    reference = first.split(b"Message-ID: ")[1].split(b"\r\n")[0].decode()
    fill(mailbox, first, message("Re: a question", In_Reply_To=reference, References=reference))
    config = tmp_path / "config" / "aerc"
    config.mkdir(parents=True)
    (config / "accounts.conf").write_text(
        f"[Test]\nsource = imaps://{user}:secret@localhost:{server.imaps}\ndefault = INBOX\nfrom = Ann <ann@example.org>\n")
    (config / "accounts.conf").chmod(0o600)
    (config / "aerc.conf").write_text("[ui]\nthreading-enabled = true\nsort = -r date\n[general]\nunsafe-accounts-conf = true\n")
    (config / "binds.conf").write_text("")
    environment = dict(os.environ, TERM="xterm", HOME=str(tmp_path), XDG_CONFIG_HOME=str(tmp_path / "config"),
                       XDG_CACHE_HOME=str(tmp_path / "cache"), XDG_DATA_HOME=str(tmp_path / "share"),
                       XDG_RUNTIME_DIR=str(tmp_path), SSL_CERT_FILE=server.certificate, LC_ALL="C.UTF-8")
    aerc = Terminal(["aerc"], environment)
    try:
        aerc.until(lambda: b"a question" in aerc.screen, "the list of messages")
        aerc.type(":flag\r")
        aerc.until(lambda: any("\\Flagged" in flags for flags in subjects(mailbox, "INBOX").values()), "a flag")
        aerc.type(":move -p Kept\r")
        aerc.until(lambda: mailbox.select("Kept", readonly=True)[0] == "OK" and len(subjects(mailbox, "Kept")) == 1,
                   "a message that moved")
        aerc.type(":quit\r")
        aerc.until(lambda: aerc.process.poll() is not None, "the end")
    finally:
        aerc.close()
    assert len(subjects(mailbox, "INBOX")) == 1
    mailbox.logout()
    assert '"UID THREAD"' in server.log.read_text()
