"""Users who come from elsewhere: passwd-files, …, each the real thing."""

import base64
import concurrent.futures
import glob
import imaplib
import os
import re
import shutil
import smtplib
import socket
import sqlite3
import subprocess
import time

import pytest
from conftest import free_port

PASSWORD = "pass word: ä1"
# No log-in delay is measured here, and the throttle must not make the tests slow.
SETTINGS = '[login]\nthrottle = "0s"\n'
# Names that mean something to SQL, LDAP, shells, file systems and passwd-files.
NAMES = ["' OR '1'='1", "ada'--", 'ada"; DROP TABLE users; --', "*", "a*", "ada)(uid=*", "*)(|(uid=*", "ada,dc=example",
         "ada\\", "ada\\2a", "%u", "%n", "%d", "$1", "?1", "ada:x", "ada\t", "../ada", "-h", "ada@example.org@example.org",
         "ada@", "@example.org", "@", "äda", "ada\u202e"]


def doveadm_hash(password, scheme="SHA512-CRYPT"):
    made = subprocess.run(["doveadm", "pw", "-s", scheme, "-p", password], check=True, capture_output=True, text=True)
    return made.stdout.strip()


def connect(server):
    return imaplib.IMAP4_SSL("localhost", server.imaps, ssl_context=server.tls(), timeout=60)


def plain(server, name, password):
    """The answer to AUTHENTICATE PLAIN."""
    imap = connect(server)
    try:
        imap.authenticate("PLAIN", lambda _: b"\0" + name.encode() + b"\0" + password.encode())
        return "OK"
    except imaplib.IMAP4.error as error:
        return str(error)
    finally:
        imap.shutdown()


def refuses_odd_names(server, password=PASSWORD):
    """Whatever the name is, the answer is that of a wrong password; NULs and what is too long are BAD or end it."""
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        answers = pool.map(lambda name: plain(server, name, password), NAMES)
        assert all("[AUTHENTICATIONFAILED]" in answer for answer in answers)
    for name, secret in [("ada\0x", password), ("ada", password + "\0")]:
        answer = plain(server, name, secret)
        assert answer != "OK" and "UNAVAILABLE" not in answer, answer
    with socket.create_connection(("localhost", server.imaps), 60) as raw:
        with server.tls().wrap_socket(raw, server_hostname="localhost") as tls:
            tls.recv(1000)
            try:
                tls.sendall(b"a LOGIN " + b"x" * (1 << 20) + b" secret\r\n")
                answer = b"".join(iter(lambda: tls.recv(10000), b""))
            except OSError:
                answer = b"* BYE"
            assert b"a OK" not in answer, answer
    assert "panicked" not in server.log.read_text()


def deliver(server, *recipients):
    """LMTP's code for each recipient, and for the data of each that was taken."""
    with smtplib.LMTP("127.0.0.1", server.lmtp) as lmtp:
        lmtp.ehlo("test")
        lmtp.mail("sender@example.org")
        codes = [lmtp.rcpt(one)[0] for one in recipients]
        if 250 in codes:
            lmtp.docmd("DATA")
            lmtp.send(b"Subject: hello\r\n\r\nHello\r\n.\r\n")
            assert [lmtp.getreply()[0] for _ in range(codes.count(250))] == [250] * codes.count(250)
        return codes


def counted(server, name):
    """How many failures the throttle holds against a name."""
    shown = server.run("throttle", "list").stdout
    return max((int(count) for count in re.findall(r"(\d+) +" + re.escape(name) + " from", shown)), default=0)


def test_a_passwd_file_of_every_scheme(make_server, tmp_path):
    schemes = ["PLAIN.B64", "CLEARTEXT.HEX", "ARGON2ID", "ARGON2I", "SHA512-CRYPT", "SHA256-CRYPT", "BLF-CRYPT", "CRYPT",
               "SSHA512", "SSHA256", "SSHA", "SHA512", "SHA256", "SHA", "SSHA512.HEX", "SHA256.HEX", "SHA.B64", "PBKDF2",
               "SCRAM-SHA-256", "SCRAM-SHA-1", "MD5-CRYPT", "SMD5", "PLAIN-MD5", "LDAP-MD5"]
    lines = []
    for scheme in schemes:
        lines.append(f"{scheme.lower()}@example.org:{doveadm_hash(PASSWORD, scheme)}:1000:1000::/home/x::userdb_mail=x\n")
    lines += ["locked@example.org:{PLAIN}x::::::nologin\n", "elsewhere@example.org:{PLAIN}x::::::allow_nets=192.0.2.0/24\n",
              "here@example.org:{PLAIN}x::::::allow_nets=127.0.0.0/8,::1\n", "ada:{PLAIN}x\n"]
    users = tmp_path / "users"
    users.write_text("".join(lines))
    users.chmod(0o600)
    server = make_server(SETTINGS + f'[[users]]\nsource = "passwd-file"\nfile = "{users}"\nmake_accounts = true\n'
                                    'domains = ["example.org"]\n[[users]]\nsource = "directory"\n')
    server.add_user("bob", "bob's")
    imap = connect(server)
    # Only the directory could do SCRAM, and a client that chooses it does not fall back.
    assert "AUTH=PLAIN" in imap.capabilities and "AUTH=SCRAM-SHA-256" not in imap.capabilities
    for scheme in schemes:
        name = f"{scheme.lower()}@example.org"
        assert "[AUTHENTICATIONFAILED]" in plain(server, name, PASSWORD + "x"), scheme
        assert plain(server, name.upper(), PASSWORD) == "OK", scheme
    listed = server.run("user", "list").stdout
    assert "blf-crypt@example.org" in listed
    assert plain(server, "bob", "bob's") == "OK"
    assert plain(server, "here@example.org", "x") == "OK"
    for name in ["locked@example.org", "elsewhere@example.org"]:
        assert "[AUTHORIZATIONFAILED]" in plain(server, name, "x")
    # Not of its domains.
    assert plain(server, "ada", "x") == plain(server, "nobody@example.org", "x") == plain(server, "bob", "x")
    refuses_odd_names(server)

    # A changed file counts at once, also for mail.
    assert deliver(server, "new@example.org", "nobody@example.org") == [550, 550]
    users.write_text("new@example.org:{PLAIN}fresh\n")
    assert deliver(server, "new@example.org", "nobody@example.org") == [250, 550]
    assert plain(server, "new@example.org", "fresh") == "OK"
    assert "[AUTHENTICATIONFAILED]" in plain(server, "here@example.org", "x")

    # An app password goes on, and ends with its user.
    app = server.run("user", "app-password", "add", "new@example.org").stdout.strip()
    assert plain(server, "new@example.org", app) == "OK"
    # Without the file nobody's password is wrong, nobody is counted as a guesser, and mail comes in or waits.
    users.rename(tmp_path / "away")
    for name in ["new@example.org", "nobody@example.org"]:
        for _ in range(10):
            assert "[UNAVAILABLE]" in plain(server, name, "fresh")
    assert deliver(server, "new@example.org", "nobody@example.org") == [250, 451]
    assert plain(server, "bob", "bob's") == "OK"
    (tmp_path / "away").rename(users)
    assert plain(server, "new@example.org", "fresh") == "OK"
    assert counted(server, "new@example.org") == 0
    users.write_text("other@example.org:{PLAIN}x\n")
    assert "[AUTHORIZATIONFAILED]" in plain(server, "new@example.org", app)


def test_hashes_taken_over_by_the_directory(make_server, tmp_path):
    server = make_server()
    server.run("user", "add", "ada", "--hash-stdin", input=doveadm_hash(PASSWORD) + "\n")
    lines = tmp_path / "users.csv"
    lines.write_text("bob,{SSHA256.HEX}e637abb1a48dca80113d09138378bd1799a6d434ffac3c4078e6cfa4f54e7b734e5cd1e0\n")
    server.run("user", "add", "--csv", str(lines), "--hashes")
    server.run("user", "add", "carol", "--no-password")
    assert "none: cannot sign in" in server.run("user", "list", "carol").stdout
    for wrong in ["{NO-SUCH}x\n", "{SHA512-CRYPT}$6$rounds=999999999$x$" + "x" * 86 + "\n", "secret\n", "\n"]:
        with pytest.raises(subprocess.CalledProcessError):
            server.run("user", "add", "dave", "--hash-stdin", input=wrong)
    for name, password in [("ada", PASSWORD), ("bob", "pass:wörd 1")]:
        assert "[AUTHENTICATIONFAILED]" in plain(server, name, "wrong")
        for _ in range(2):
            assert plain(server, name, password) == "OK"
    assert "[AUTHENTICATIONFAILED]" in plain(server, "carol", "x")


def test_sqlite(make_server, tmp_path):
    file = tmp_path / "users.sqlite"

    def write(sql, *values):
        with sqlite3.connect(file) as db:
            db.execute(sql, values)

    write("CREATE TABLE users (name TEXT PRIMARY KEY, hash TEXT, off INTEGER DEFAULT 0)")
    write("INSERT INTO users VALUES (?, ?, 0), ('off@example.org', ?, 1), ('none@example.org', NULL, 0)",
          "ada@example.org", doveadm_hash(PASSWORD), doveadm_hash(PASSWORD))
    server = make_server(SETTINGS + f'[[users]]\nsource = "sql"\nfile = "{file}"\nmake_accounts = true\n'
                                    'query = "SELECT hash AS password, off AS disabled FROM users WHERE name = %u"\n'
                                    'cache = "0s"\n')
    assert plain(server, "Ada@example.org", PASSWORD) == "OK"
    assert "[AUTHORIZATIONFAILED]" in plain(server, "off@example.org", PASSWORD)
    for name in ["ada@example.org", "off@example.org", "none@example.org", "nobody@example.org"]:
        assert "[AUTHENTICATIONFAILED]" in plain(server, name, "wrong"), name
    refuses_odd_names(server)
    write("UPDATE users SET hash = ?", doveadm_hash("changed", "BLF-CRYPT"))
    assert "[AUTHENTICATIONFAILED]" in plain(server, "ada@example.org", PASSWORD)
    assert plain(server, "ada@example.org", "changed") == "OK"
    assert deliver(server, "none@example.org", "nobody@example.org") == [250, 550]
    file.rename(tmp_path / "away")
    for _ in range(3):
        assert "[UNAVAILABLE]" in plain(server, "ada@example.org", "changed")
    assert deliver(server, "ada@example.org", "nobody@example.org") == [250, 451]
    file.write_bytes(b"not a database" * 100)
    assert "[UNAVAILABLE]" in plain(server, "ada@example.org", "changed")
    (tmp_path / "away").rename(file)
    assert plain(server, "ada@example.org", "changed") == "OK"
    assert counted(server, "ada@example.org") == 2


def as_user(user, *command, **keywords):
    """Runs something as another user: neither PostgreSQL nor slapd wants to be root."""
    prefix = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"] if os.getuid() == 0 else []
    return subprocess.run([*prefix, *command], check=True, capture_output=True, text=True, timeout=120,
                          stdin=subprocess.DEVNULL, **keywords)


class Postgres:
    """A cluster of its own, with TLS, on a loopback port."""

    def __init__(self, directory, certificate, key):
        self.port = free_port()
        self.bin = sorted(glob.glob("/usr/lib/postgresql/*/bin"))[-1]
        self.data = directory / "postgres"
        self.data.mkdir()
        for parent in [directory, *directory.parents][:3]:
            parent.chmod(0o755)
        if os.getuid() == 0:
            shutil.chown(self.data, "postgres", "postgres")
        as_user("postgres", f"{self.bin}/initdb", "-D", self.data, "-A", "trust", "-U", "postgres", "-E", "UTF8")
        for name, source in [("server.crt", certificate), ("server.key", key)]:
            target = self.data / name
            shutil.copy(source, target)
            if os.getuid() == 0:
                shutil.chown(target, "postgres", "postgres")
            target.chmod(0o600)
        (self.data / "pg_hba.conf").write_text(
            "local all postgres trust\nhostssl mail restante all scram-sha-256\nlocal mail restante scram-sha-256\n")
        self.start()

    def start(self):
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c ssl=on -c unix_socket_directories={self.data} -c fsync=off"
        as_user("postgres", f"{self.bin}/pg_ctl", "-D", self.data, "-w", "-o", options, "-l", self.data / "log", "start")

    def stop(self):
        as_user("postgres", f"{self.bin}/pg_ctl", "-D", self.data, "-w", "-m", "immediate", "stop")

    def sql(self, text, database="mail"):
        return as_user("postgres", f"{self.bin}/psql", "-h", self.data, "-p", str(self.port), "-U", "postgres", "-v",
                       "ON_ERROR_STOP=1", "-q", "-At", "-d", database, "-c", text).stdout


@pytest.fixture
def certificate(tmp_path):
    """A certificate for localhost, and its key."""
    files = tmp_path / "ca.pem", tmp_path / "ca.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days",
                    "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-addext",
                    "basicConstraints=critical,CA:FALSE", "-out", files[0], "-keyout", files[1]], check=True, capture_output=True)
    return files


@pytest.fixture
def postgres(tmp_path, certificate):
    running = Postgres(tmp_path, *certificate)
    running.sql("CREATE DATABASE mail", "postgres")
    running.sql("CREATE ROLE restante LOGIN PASSWORD 'db secret'")
    yield running
    running.stop()


def test_postgresql(make_server, postgres, tmp_path, certificate):
    postgres.sql("CREATE TABLE users (local varchar(80), domain text, hash text, alias text, off boolean NOT NULL DEFAULT false);"
                 "GRANT SELECT ON users TO restante;"
                 f"INSERT INTO users VALUES ('ada', 'example.org', '{doveadm_hash(PASSWORD)}', NULL, false),"
                 f" ('off', 'example.org', '{doveadm_hash(PASSWORD)}', NULL, true), ('none', 'example.org', NULL, NULL, false),"
                 f" ('alias', 'example.org', '{doveadm_hash('x')}', 'Ada@example.org', false),"
                 " ('twice', 'example.org', '{PLAIN}x', NULL, false), ('twice', 'example.org', '{PLAIN}x', NULL, false)")
    secret = tmp_path / "db-password"
    secret.write_text("db secret\n")
    secret.chmod(0o600)
    query = "SELECT hash AS password, alias AS user, off AS disabled FROM users WHERE local = %n AND domain = %d"
    settings = f'[[users]]\nsource = "sql"\npassword_file = "{secret}"\nquery = "{query}"\nmake_accounts = true\n'
    over_tls = f'database = "postgresql://restante@localhost:{postgres.port}/mail"\ntls = true\nca_file = "{certificate[0]}"\n'
    server = make_server(SETTINGS + settings + over_tls + 'cache = "0s"\n')

    assert plain(server, "ada@EXAMPLE.org", PASSWORD) == "OK", server.log.read_text()
    assert "t" in postgres.sql("SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'restante'")
    assert "[AUTHORIZATIONFAILED]" in plain(server, "off@example.org", PASSWORD)
    for name in ["ada@example.org", "off@example.org", "none@example.org", "nobody@example.org", "ada", "ada@example.net"]:
        assert "[AUTHENTICATIONFAILED]" in plain(server, name, "wrong"), name
    assert plain(server, "alias@example.org", "x") == "OK"
    assert server.run("user", "list").stdout.split() == ["ada@example.org"]
    # A query that finds two decides nothing.
    assert "[UNAVAILABLE]" in plain(server, "twice@example.org", "x")
    refuses_odd_names(server)
    assert postgres.sql("SELECT count(*) FROM users").strip() == "6"
    assert deliver(server, "none@example.org", "alias@example.org", "nobody@example.org") == [250, 250, 550]
    connections = postgres.sql("SELECT count(*) FROM pg_stat_activity WHERE usename = 'restante'")
    assert 1 <= int(connections) <= 4

    # Started again: connections that were kept are lost, and nobody notices.
    postgres.stop()
    postgres.start()
    assert plain(server, "ada@example.org", PASSWORD) == "OK"

    # Down, then hanging: nobody's password is wrong, and nobody is counted.
    postgres.stop()
    for name in ["ada@example.org", "nobody@example.org"]:
        for _ in range(3):
            assert "[UNAVAILABLE]" in plain(server, name, "wrong")
    assert deliver(server, "ada@example.org", "nobody@example.org") == [250, 451]
    with socket.create_server(("127.0.0.1", postgres.port)):
        time.sleep(1.1)
        begin = time.monotonic()
        assert "[UNAVAILABLE]" in plain(server, "ada@example.org", PASSWORD)
        assert time.monotonic() - begin < 30
    postgres.start()
    time.sleep(1.1)
    assert plain(server, "ada@example.org", PASSWORD) == "OK"
    assert counted(server, "nobody@example.org") == 1

    # Remembered for a while, if so configured: what was right, nothing else.
    remembers = make_server(SETTINGS + settings + over_tls + 'cache = "1m"\n')
    assert plain(remembers, "ada@example.org", PASSWORD) == "OK"
    postgres.stop()
    assert plain(remembers, "ada@example.org", PASSWORD) == "OK"
    assert "[UNAVAILABLE]" in plain(remembers, "ada@example.org", "wrong")
    postgres.start()

    # On a Unix socket without TLS; and over TLS only to whom the certificate belongs.
    local = f'database = "host={postgres.data} port={postgres.port} user=restante dbname=mail"\n'
    near = make_server(SETTINGS + settings + local)
    assert plain(near, "ada@example.org", PASSWORD) == "OK", near.log.read_text()
    other = over_tls.replace("localhost", "127.0.0.1")
    stranger = make_server(SETTINGS + settings + other)
    assert "[UNAVAILABLE]" in plain(stranger, "ada@example.org", PASSWORD)
    assert "certificate" in stranger.log.read_text()
    untrusted = make_server(SETTINGS + settings + over_tls.replace("ca_file", "#ca_file"))
    assert "[UNAVAILABLE]" in plain(untrusted, "ada@example.org", PASSWORD)
