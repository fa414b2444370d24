"""A real Postfix: who may send is asked here, and so is who there is; mail comes back by LMTP, into IDLE."""

import imaplib
import pathlib
import shutil
import smtplib
import socket
import subprocess
import tempfile
import time

import pytest
from conftest import free_port, message

MAIN = """
compatibility_level = 3.6
queue_directory = {home}/queue
data_directory = {home}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
maillog_file = {home}/log/postfix.log
maillog_file_prefixes = {home}/log
myhostname = mx.example.org
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mydestination =
mynetworks =
alias_maps =
local_recipient_maps =
virtual_mailbox_domains = example.org
virtual_mailbox_maps = socketmap:inet:127.0.0.1:{socketmap}:users
virtual_transport = lmtp:inet:127.0.0.1:{lmtp}
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = {auth}
smtpd_sasl_security_options = noanonymous
smtpd_relay_restrictions = permit_sasl_authenticated, reject_unauth_destination
smtpd_recipient_restrictions = reject_unlisted_recipient, check_policy_service inet:127.0.0.1:{policy}
smtpd_tls_security_level = none
"""

MASTER = """
127.0.0.1:{smtp} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
tlsmgr unix - - n 1000? 1 tlsmgr
postlog unix-dgram n - n - 1 postlogd
"""


class Postfix:
    def __init__(self, server, ports, auth):
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="restante-postfix-", dir="/var/tmp"))
        self.home.chmod(0o755)
        self.smtp = free_port()
        for name in ("etc", "queue", "log", "data"):
            (self.home / name).mkdir()
        shutil.chown(self.home / "data", "postfix")
        fill = dict(ports, home=self.home, lmtp=server.lmtp, smtp=self.smtp, auth=auth)
        (self.home / "etc" / "main.cf").write_text(MAIN.format(**fill))
        (self.home / "etc" / "master.cf").write_text(MASTER.format(**fill))
        self.run("start")

    def run(self, verb):
        done = subprocess.run(["postfix", "-c", str(self.home / "etc"), verb], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr + self.log()

    def log(self):
        log = self.home / "log" / "postfix.log"
        return log.read_text() if log.exists() else ""

    def connect(self):
        for _ in range(600):
            try:
                return smtplib.SMTP("127.0.0.1", self.smtp, timeout=30)
            except OSError:
                time.sleep(0.1)
        raise RuntimeError("postfix does not listen: " + self.log())

    def stop(self):
        self.run("stop")
        shutil.rmtree(self.home, ignore_errors=True)


@pytest.fixture(params=["tcp", "unix"])
def both(request, make_server):
    ports = {name: free_port() for name in ("auth", "policy", "socketmap")}
    sockets = pathlib.Path(tempfile.mkdtemp(prefix="restante-auth-", dir="/var/tmp"))
    sockets.chmod(0o755)
    unix = request.param == "unix"
    auth = f"{sockets}/auth" if unix else f"127.0.0.1:{ports['auth']}"
    server = make_server(f'''
[listen]
auth = ["{auth}"]
policy = ["127.0.0.1:{ports['policy']}"]
socketmap = ["127.0.0.1:{ports['socketmap']}"]
[mail]
local_domains = ["example.org"]
''')
    postfix = Postfix(server, ports, auth if unix else f"inet:{auth}")
    yield server, postfix
    postfix.stop()
    shutil.rmtree(sockets, ignore_errors=True)


def test_from_the_login_to_the_other_users_idle(both):
    server, postfix = both
    for name in ("ann", "bob@example.org", "full"):
        server.add_user(name)
    server.run("user", "quota", "full", "0 B")

    idle = imaplib.IMAP4_SSL("localhost", server.imaps, ssl_context=server.tls(), timeout=60)
    idle.login("bob@example.org", "secret")
    idle.select("INBOX")
    idle.send(b"i IDLE\r\n")
    assert idle.readline().startswith(b"+")

    smtp = postfix.connect()
    smtp.ehlo()
    assert {"PLAIN", "LOGIN", "SCRAM-SHA-256"} <= set(smtp.esmtp_features["auth"].split())
    with pytest.raises(smtplib.SMTPAuthenticationError):
        smtp.login("ann", "wrong")
    # Who has not signed in sends to our users only, and not to those who are not there.
    assert smtp.docmd("MAIL FROM:<x@elsewhere.example>")[0] == 250
    assert smtp.docmd("RCPT TO:<y@elsewhere.example>")[0] == 554
    code, text = smtp.docmd("RCPT TO:<nobody@example.org>")
    assert code == 550 and b"5.1.1" in text, text
    code, text = smtp.docmd("RCPT TO:<full@example.org>")
    assert code == 552 and b"5.2.2" in text, text
    assert smtp.docmd("RCPT TO:<ann+lists@example.org>")[0] == 250, postfix.log()
    smtp.rset()

    smtp.login("ann", "secret")
    smtp.sendmail("ann@example.org", ["bob@example.org"], message("Through Postfix"))
    smtp.quit()
    assert idle.readline().split()[1:] == [b"1", b"EXISTS"], postfix.log()
    idle.send(b"DONE\r\n")
    while not idle.readline().startswith(b"i OK"):
        pass
    text = idle.fetch("1", "(BODY[])")[1][0][1]
    assert b"Subject: Through Postfix" in text and b"(Restante) with LMTP" in text

    logins = server.run("user", "logins", "ann").stdout
    # It tries two mechanisms with the wrong password.
    assert logins.count("smtp") == 3 and logins.count("FAILED") == 2 and "FAILED: wrong password" in logins
