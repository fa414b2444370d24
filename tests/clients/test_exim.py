"""A real Exim (Debian's, unpacked, since it does not stand beside Postfix) that asks here who may send."""

import os
import pathlib
import pwd
import shutil
import smtplib
import subprocess
import tempfile
import time

import pytest
from conftest import free_port

CONFIG = """
daemon_smtp_ports = {port}
local_interfaces = 127.0.0.1
spool_directory = {home}/spool
log_file_path = {home}/log/%slog
pid_file_path = {home}/exim.pid
primary_hostname = mx.example.org
keep_environment =
tls_advertise_hosts =
acl_smtp_rcpt = rcpt
begin acl
rcpt:
  accept authenticated = *
  deny message = relay not permitted
begin routers
begin authenticators
plain:
  driver = dovecot
  public_name = PLAIN
  server_socket = {home}/auth
  server_set_id = $auth1
login:
  driver = dovecot
  public_name = LOGIN
  server_socket = {home}/auth
  server_set_id = $auth1
"""


@pytest.fixture
def home():
    if os.getuid() != 0:
        pytest.skip("only root can start Exim")
    try:
        pwd.getpwnam("Debian-exim")
    except KeyError:
        subprocess.run(["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", "Debian-exim"], check=True)
    directory = pathlib.Path(tempfile.mkdtemp(prefix="restante-exim-", dir="/var/tmp"))
    directory.chmod(0o755)
    for name in ("spool", "log"):
        (directory / name).mkdir()
        shutil.chown(directory / name, "Debian-exim")
    yield directory
    shutil.rmtree(directory)


def unpacked(directory):
    """Exim's program, and the environment in which it finds what only it needs."""
    subprocess.run(["apt-get", "download", "-qq", "exim4-daemon-heavy", "libspf2-2"], cwd=directory, check=True,
                   capture_output=True, timeout=120)
    for package in directory.glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", package, directory / "package"], check=True)
    libraries = directory / "package" / "usr" / "lib"
    return directory / "package" / "usr" / "sbin" / "exim4", dict(os.environ, LD_LIBRARY_PATH=str(libraries))


def connect(port, process):
    for _ in range(100):
        try:
            return smtplib.SMTP("127.0.0.1", port, timeout=30)
        except OSError:
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.1)
    raise RuntimeError("Exim does not listen")


def test_exim_lets_our_users_send(make_server, home):
    server = make_server(f'[listen]\nauth = ["{home}/auth"]\n')
    server.add_user("ann")
    program, environment = unpacked(home)
    port = free_port()
    (home / "exim.conf").write_text(CONFIG.format(home=home, port=port))
    exim = subprocess.Popen([program, "-C", home / "exim.conf", "-bdf"], env=environment, stdin=subprocess.DEVNULL,
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        smtp = connect(port, exim)
        smtp.ehlo()
        assert set(smtp.esmtp_features["auth"].split()) == {"PLAIN", "LOGIN"}
        assert smtp.docmd("MAIL FROM:<ann@example.org>")[0] == 250
        assert smtp.docmd("RCPT TO:<bob@elsewhere.example>")[0] == 550
        smtp.close()
        for mechanism in ("PLAIN", "LOGIN"):
            for password, right in (("wrong", False), ("secret", True)):
                smtp = connect(port, exim)
                smtp.ehlo()
                smtp.user, smtp.password = "ann", password
                try:
                    code = smtp.auth(mechanism, getattr(smtp, "auth_" + mechanism.lower()))[0]
                except smtplib.SMTPAuthenticationError as error:
                    code = error.smtp_code
                assert code == (235 if right else 535)
                assert smtp.docmd("MAIL FROM:<ann@example.org>")[0] == 250
                assert smtp.docmd("RCPT TO:<bob@elsewhere.example>")[0] == (250 if right else 550)
                smtp.close()
    finally:
        exim.terminate()
        exim.wait(20)
    logins = server.run("user", "logins", "ann").stdout
    assert logins.count("smtp") == 4 and logins.count("FAILED: wrong password") == 2, logins
