"""What the process gives up: root, other files, system calls; and what works all the same."""

import concurrent.futures
import grp
import imaplib
import os
import pathlib
import pwd
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time

import pytest

from conftest import BINARY, Server, message

root = pytest.mark.skipif(os.getuid() != 0, reason="only root has root to give up")
USER = "nobody"


@pytest.fixture
def place():
    """A directory that other users get to: pytest's own are closed to them."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix="restante-", dir="/tmp"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def start(place):
    running = []

    def start(settings=""):
        server = Server(place, settings)
        running.append(server)
        return server.start()

    yield start
    for server in running:
        server.stop()
        log = server.log.read_text()
        assert "panicked" not in log, log


def status(server):
    """The kernel's word for every thread, as {key: set of values}."""
    found = {}
    for task in pathlib.Path(f"/proc/{server.process.pid}/task").iterdir():
        for line in (task / "status").read_text().splitlines():
            key, _, value = line.partition(":")
            found.setdefault(key, set()).add(" ".join(value.split()))
    return found


def certificate(directory, name):
    """A certificate that only root can read."""
    files = directory / f"{name}.pem", directory / f"{name}.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
         "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}", "-out", files[0], "-keyout", files[1]],
        check=True, capture_output=True)
    for file in files:
        file.chmod(0o600)
    return files


def served(server):
    """What the server shows who connects."""
    pem = ssl.get_server_certificate(("localhost", server.imaps))
    done = subprocess.run(["openssl", "x509", "-noout", "-subject"], input=pem, check=True, capture_output=True, text=True)
    return done.stdout.strip().replace(" ", "")


def login(server, user, password="secret"):
    client = imaplib.IMAP4("localhost", server.imap)
    client.login(user, password)
    return client


def cli(server, *arguments, **keywords):
    return subprocess.run([BINARY, *arguments, "--config", server.config, "--data", server.data],
                          capture_output=True, text=True, timeout=60, **keywords)


def owners(directory):
    return {path.lstat().st_uid for path in [directory, *directory.rglob("*")]}


def wait_for(server, text):
    deadline = time.monotonic() + 60
    while text not in server.log.read_text():
        assert time.monotonic() < deadline, f"{text!r} not in " + server.log.read_text()
        time.sleep(0.05)


@root
def test_root_is_given_up_and_all_goes_on(place, start):
    keys = place / "keys"
    keys.mkdir()
    chain, key = certificate(keys, "one.example")
    server = start(f'[service]\nuser = "{USER}"\n[tls]\ncertificate = "{chain}"\nkey = "{key}"\n')
    nobody = pwd.getpwnam(USER)
    now = status(server)
    assert now["Uid"] == {" ".join([str(nobody.pw_uid)] * 4)}
    assert now["Gid"] == {" ".join([str(nobody.pw_gid)] * 4)}
    assert now["Groups"] == {str(nobody.pw_gid)}
    for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert {int(value, 16) for value in now[kind]} == {0}, kind
    assert now["NoNewPrivs"] == {"1"}
    assert now["Seccomp"] == {"2"}
    assert "Landlock V" in server.log.read_text()

    # The certificate was read by root. That a reload cannot is said at once, with what to do.
    assert served(server) == "subject=CN=one.example"
    wait_for(server, "a reload will not be able to read this")
    assert "chmod 640" in server.log.read_text()

    # Users, mail in, mail out, and files of root's that the command reads.
    assert cli(server, "user", "add", "ada", "--password-stdin", input="secret\n").returncode == 0
    maildir = place / "Maildir"
    for name in ("cur", "new", "tmp"):
        (maildir / name).mkdir(parents=True)
    (maildir / "new" / "1.M1.host").write_bytes(message("from the Maildir"))
    maildir.chmod(0o700)
    done = cli(server, "import", "--user", "ada", "--maildir", maildir)
    assert done.returncode == 0, done.stderr
    client = login(server, "ada")
    assert client.select()[1] == [b"1"]
    big = message("big", "x" * 70 + "\n", ) + (b"x" * 70 + b"\r\n") * 40000
    assert client.append("INBOX", None, None, big)[0] == "OK"
    assert len(client.fetch("2", "(BODY.PEEK[])")[1][0][1]) == len(big)
    done = cli(server, "export", "--user", "ada", "--maildir", place / "out")
    assert done.returncode == 0, done.stderr
    assert cli(server, "check", "--deep").returncode == 0

    # A new certificate that the service may not read: the old one is served, and the log says why.
    os.replace(certificate(keys, "two.example")[0], chain)
    server.process.send_signal(signal.SIGHUP)
    wait_for(server, "the certificate could not be loaded; the old one stays in use")
    assert served(server) == "subject=CN=one.example"
    # One that it may: it is another file, and the sandbox does not mind.
    os.replace(keys / "two.example.key", key)
    for file in (chain, key):
        shutil.chown(file, group=nobody.pw_gid)
        file.chmod(0o640)
    done = cli(server, "reload")
    assert done.returncode == 0, done.stderr
    assert served(server) == "subject=CN=two.example"
    client.logout()

    server.stop()
    assert owners(server.data) == {nobody.pw_uid}
    # Commands of root's on the data of a server that does not run leave none of root's files there.
    done = cli(server, "user", "list")
    assert "ada" in done.stdout, done.stderr
    assert cli(server, "check").returncode == 0
    assert owners(server.data) == {nobody.pw_uid}
    server.start()
    login(server, "ada").logout()


@root
def test_data_of_somebody_else_is_left_alone(place, start):
    data = place / "data"
    (data / "store").mkdir(parents=True)
    with pytest.raises(RuntimeError, match=f"belongs to user 0, not to `{USER}`.*chown -R {USER}"):
        start(f'[service]\nuser = "{USER}"\n')
    assert owners(data) == {0}


@root
def test_check_says_what_is_wrong(place):
    chain, key = certificate(place, "one.example")
    server = Server(place, f'[service]\nuser = "{USER}"\n[tls]\ncertificate = "{chain}"\nkey = "{key}"\n')
    check = [BINARY, "config", "check", server.config]
    done = subprocess.run(check, capture_output=True, text=True)
    assert done.returncode == 1
    assert f"tls.key: {key}: `{USER}`, who reads it at a reload, cannot read it: Permission denied" in done.stderr
    for file in (chain, key):
        file.chmod(0o644)
    done = subprocess.run(check, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    server.config.write_text('[service]\nuser = "no-such-user"\n')
    done = subprocess.run(check, capture_output=True, text=True)
    assert "useradd --system no-such-user" in done.stderr


@root
def test_only_root_becomes_somebody_else(place):
    (place / "restante.toml").write_text(f'[service]\nuser = "{USER}"\n')
    daemon = pwd.getpwnam("daemon").pw_uid
    binary = place / "restante"
    shutil.copy(BINARY, binary)
    done = subprocess.run([binary, "serve", "--config", place / "restante.toml", "--data", "/tmp/x"],
                          capture_output=True, text=True, user=daemon, group=grp.getgrnam("daemon").gr_gid)
    assert f"user {daemon} cannot become it" in done.stderr


def test_backups_go_where_the_sandbox_lets_them(make_server, tmp_path):
    server = make_server(f'[service]\nwritable = ["{tmp_path}"]\n')
    server.add_user("ada")
    server.run("backup", "--to", str(tmp_path / "copy"))
    assert (tmp_path / "copy" / "log").is_dir()
    server.run("backup", "--to", str(server.data / "copy"))
    closed = make_server()
    if "confined" not in closed.log.read_text():
        pytest.skip("no Landlock here")
    done = subprocess.run([BINARY, "backup", "--to", str(tmp_path / "other"), "--data", closed.data],
                          capture_output=True, text=True)
    assert done.returncode == 1
    assert "[service] writable" in done.stderr
    assert not (tmp_path / "other").exists()


def test_the_sandbox_can_be_turned_off(make_server, tmp_path):
    server = make_server('[service]\nsandbox = "off"\n')
    assert status(server)["Seccomp"] == {"0"}
    server.add_user("ada")
    server.run("backup", "--to", str(tmp_path / "copy"))
    assert "no sandbox: service.sandbox is off" in server.log.read_text()


def test_a_secret_that_moves_needs_a_restart(make_server, tmp_path):
    server = make_server()
    if "confined" not in server.log.read_text():
        pytest.skip("no Landlock here")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "ca.pem").write_text(pathlib.Path(server.certificate).read_text())
    server.config.write_text('[oauth]\nissuer = "https://id.example"\naudience = ["mail"]\n'
                             f'ca_file = "{elsewhere}/ca.pem"\n')
    done = subprocess.run([BINARY, "reload", "--data", server.data], capture_output=True, text=True)
    assert done.returncode == 1
    assert "oauth.ca_file" in done.stderr and "or restart" in done.stderr
    server.stop()
    server.start()


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd here")
def test_the_systemd_unit_exposes_little():
    unit = pathlib.Path(__file__).resolve().parents[2] / "contrib" / "systemd" / "restante.service"
    # 10 is all that a service can expose; the threshold is in tenths.
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=18", unit],
                          capture_output=True, text=True)
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd reads no units offline")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Overall exposure level" in done.stdout
    assert "Unknown" not in done.stderr and "Failed to parse" not in done.stderr, done.stderr


def answer_of_dns(query, address):
    """An A record for every question of that kind, nothing for others (RFC 1035 §4.1)."""
    end = query.index(b"\0", 12) + 5
    wants_a = query[end - 4:end - 2] == b"\0\x01"
    head = query[:2] + b"\x81\x80\0\x01" + (b"\0\x01" if wants_a else b"\0\0") + b"\0\0\0\0"
    record = b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04" + socket.inet_aton(address)
    return head + query[12:end] + (record if wants_a else b"")


@root
def test_names_are_asked_of_the_dns_inside_the_sandbox(place):
    """A directory of users that has a name which only the DNS knows: the resolver's files, its sockets, and out."""
    dns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    ldap = socket.create_server(("127.0.0.1", 0))
    dns.bind(("127.0.0.77", 53))
    dns.settimeout(30)
    ldap.settimeout(30)
    asked = []

    def serve():
        try:
            while True:
                query, peer = dns.recvfrom(4096)
                asked.append(query)
                dns.sendto(answer_of_dns(query, "127.0.0.1"), peer)
        except OSError:
            pass

    threading.Thread(target=serve, daemon=True).start()
    (place / "resolv.conf").write_text("nameserver 127.0.0.77\n")
    server = Server(place, f'''
[service]
user = "{USER}"
[[users]]
source = "ldap"
url = "ldap://directory.example:{ldap.getsockname()[1]}"
tls = false
user_dn = "uid=%u"
timeout = "5s"
''')
    # Its own view of the file system, where the machine's resolver is ours.
    wrapper = place / "restante"
    wrapper.write_text(f'#!/bin/sh\nmount --bind {place}/resolv.conf /etc/resolv.conf && exec {BINARY} "$@"\n')
    wrapper.chmod(0o755)
    try:
        server.start("unshare", "--mount", wrapper)
        assert "Landlock V" in server.log.read_text() and status(server)["Seccomp"] == {"2"}
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            login = pool.submit(imaplib.IMAP4("localhost", server.imap).login, "ada", "secret")
            connection, _ = ldap.accept()
            connection.close()
            with pytest.raises(imaplib.IMAP4.error, match="UNAVAILABLE"):
                login.result(30)
        assert any(b"\x09directory\x07example" in query for query in asked)
    finally:
        server.stop()
        dns.close()
        ldap.close()
