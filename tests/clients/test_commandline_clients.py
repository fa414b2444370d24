"""curl and neomutt: what people use from a shell."""

import os
import pty
import select
import subprocess
import termios
import time

from conftest import message


def curl(server, user, *arguments, **keywords):
    done = subprocess.run(["curl", "-sS", "--fail", "--cacert", server.certificate, "-u", f"{user}:secret", *arguments],
                          capture_output=True, timeout=60, **keywords)
    assert done.returncode == 0, done.stderr
    return done.stdout


def on_a_terminal(command, environment, seconds):
    """Runs a program on a terminal of its own, whatever this process has for one; its status and screen."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    process = subprocess.Popen(command, env=environment, stdin=theirs, stdout=theirs, stderr=theirs,
                               start_new_session=True)
    os.close(theirs)
    screen, deadline = b"", time.monotonic() + seconds
    with open(ours, "rb", buffering=0) as terminal:
        while time.monotonic() < deadline:
            if not select.select([terminal], [], [], 0.2)[0]:
                continue
            try:
                part = terminal.read(65536)
            except OSError:  # the other side is closed
                break
            if not part:
                break
            screen += part
        else:
            process.kill()
    return process.wait(), screen


def test_curl_uploads_lists_searches_and_downloads(server, user, tmp_path):
    url = f"imaps://localhost:{server.imaps}"
    letter = tmp_path / "letter.eml"
    letter.write_bytes(message("from curl"))
    curl(server, user, f"{url}/INBOX", "-T", str(letter))
    assert b"INBOX" in curl(server, user, url)
    assert curl(server, user, f"{url}/INBOX?SUBJECT%20curl").strip() == b"* SEARCH 1"
    assert curl(server, user, f"{url}/INBOX;MAILINDEX=1") == letter.read_bytes()
    assert b"from curl" in curl(server, user, f"{url}/INBOX;UID=1;SECTION=HEADER")


def test_curl_starttls(server, user):
    assert b"INBOX" in curl(server, user, f"imap://localhost:{server.imap}", "--ssl-reqd")


def test_neomutt_files_and_flags(server, user, tmp_path):
    url = f"imaps://localhost:{server.imaps}"
    for n in range(3):
        letter = tmp_path / f"{n}.eml"
        letter.write_bytes(message(f"number {n}"))
        curl(server, user, f"{url}/INBOX", "-T", str(letter))
    rc = tmp_path / "neomuttrc"
    rc.write_text(f"""
set folder="imaps://{user}@localhost:{server.imaps}/"
set spoolfile="+INBOX"
set imap_user="{user}" imap_pass="secret"
set ssl_force_tls=yes ssl_starttls=yes
set certificate_file="{server.certificate}"
set confirmcreate=no confirmappend=no delete=yes quit=yes mark_old=no
set imap_condstore=yes imap_qresync=yes
set header_cache="{tmp_path}/cache"
push "<tag-pattern>~A<enter><tag-prefix><set-flag>!<untag-pattern>~A<enter><first-entry><save-message>=Kept<enter><sync-mailbox><quit>"
""")
    environment = dict(os.environ, TERM="xterm", HOME=str(tmp_path), LC_ALL="C.UTF-8")
    status, screen = on_a_terminal(["neomutt", "-F", str(rc)], environment, seconds=60)
    assert status == 0, screen[-2000:]
    assert curl(server, user, f"{url}/Kept?ALL").strip() == b"* SEARCH 1"
    assert curl(server, user, f"{url}/INBOX?FLAGGED").strip() == b"* SEARCH 1 2"
