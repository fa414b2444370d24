"""Users who come from elsewhere: passwd-files, …, each the real thing."""

import base64
import base64
import concurrent.futures
import glob
import imaplib
import os
import pathlib
import re
import shutil
import signal
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
         "ada\\", "ada\\2a", "%u", "%n", "%d", "$1", "?1", "ada:x", "ada\tx", "../ada", "-h", "ada@example.org@example.org",
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
    # What nobody should have any more is not checked, and the log says what to do.
    lines.append(f"old@example.org:{doveadm_hash('secret', 'DES-CRYPT')}\n")
    # As systems keep their own users: crypt(3) of "x" with yescrypt.
    lines.append("shadow@example.org:$y$j75$saltsalt$Gtztd5zUp728UyZG5IA6qtNknB9RVEpxHqWZmvVOP57:19000::::\n")
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
    assert plain(server, "here@example.org", "x") == plain(server, "shadow@example.org", "x") == "OK"
    for name in ["locked@example.org", "elsewhere@example.org"]:
        assert "[AUTHORIZATIONFAILED]" in plain(server, name, "x")
    assert "[AUTHENTICATIONFAILED]" in plain(server, "old@example.org", "secret")
    assert re.search("old@example.org.*crypt.3. with DES is not checked.*set a new password", server.log.read_text())
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


def test_sqlite_with_a_write_ahead_log(make_server, tmp_path):
    """The sandbox lets the file be read, and nothing be made beside it; a writer may have it open, or nobody."""
    directory = tmp_path / "database"
    directory.mkdir()
    file = directory / "users.sqlite"
    server = make_server(SETTINGS + f'[[users]]\nsource = "sql"\nfile = "{file}"\nmake_accounts = true\n'
                                    'query = "SELECT hash AS password FROM users WHERE name = %u"\ncache = "0s"\n')
    database = sqlite3.connect(file)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("CREATE TABLE users (name TEXT PRIMARY KEY, hash TEXT)")
    for number, name in enumerate(["ada", "bob", "carol"]):
        database.execute("INSERT INTO users VALUES (?, ?)", (name, "{PLAIN}x"))
        database.commit()
        # What is in the log only counts.
        assert plain(server, name, "x") == "OK", server.log.read_text()
        database.close()
        assert [path.name for path in directory.iterdir()] == [file.name]
        assert plain(server, name, "x") == "OK", server.log.read_text()
        assert "[AUTHENTICATIONFAILED]" in plain(server, name, "wrong")
        database = sqlite3.connect(file)
        database.execute("UPDATE users SET hash = ? WHERE name = ?", (f"{{PLAIN}}y{number}", name))
        database.commit()
        assert plain(server, name, f"y{number}") == "OK"
        assert "[AUTHENTICATIONFAILED]" in plain(server, name, "x")
    database.close()


def passable(directory):
    """Lets other users into pytest's directories, which are its own."""
    for parent in [directory, *directory.parents][:3]:
        parent.chmod(0o755)


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
        passable(directory)
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


class Slapd:
    """A directory of its own, on loopback ports, with TLS."""

    def __init__(self, directory, certificate, key):
        self.port, self.tls_port = free_port(), free_port()
        self.directory = directory / "slapd"
        (self.directory / "db").mkdir(parents=True)
        for source in (certificate, key):
            shutil.copy(source, self.directory)
        (self.directory / "slapd.conf").write_text(f"""
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
TLSCertificateFile {self.directory}/{certificate.name}
TLSCertificateKeyFile {self.directory}/{key.name}
database mdb
suffix dc=example,dc=org
rootdn cn=admin,dc=example,dc=org
rootpw admin-secret
directory {self.directory}/db
access to attrs=userPassword by anonymous auth by * none
access to * by dn=cn=mail,dc=example,dc=org read by * none
""")
        entries = ["dn: dc=example,dc=org\nobjectClass: dcObject\nobjectClass: organization\ndc: example\no: example\n",
                   "dn: cn=mail,dc=example,dc=org\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\n"
                   "cn: mail\nuserPassword: service-secret\n"]
        for uid, mail in [("ada", "ada@example.org"), ("bob", "bob@example.org"), ("eve", "shared@example.org"),
                          ("tim", "shared@example.org"), ("a,b+c", "odd@example.org")]:
            rdn = uid.replace(",", "\\,").replace("+", "\\+")
            password = base64.b64encode(PASSWORD.encode()).decode()
            entries.append(f"dn: uid={rdn},dc=example,dc=org\nobjectClass: inetOrgPerson\nuid: {uid}\ncn: {uid}\nsn: x\n"
                           f"mail: {mail}\nuserPassword:: {password}\n")
        ldif = self.directory / "entries.ldif"
        ldif.write_text("\n".join(entries))
        subprocess.run(["/usr/sbin/slapadd", "-f", self.directory / "slapd.conf", "-l", ldif], check=True, capture_output=True)
        self.start()

    def start(self):
        urls = f"ldap://127.0.0.1:{self.port} ldaps://127.0.0.1:{self.tls_port}"
        self.process = subprocess.Popen(["/usr/sbin/slapd", "-d", "0", "-f", self.directory / "slapd.conf", "-h", urls],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError("slapd does not listen")

    def stop(self):
        self.process.terminate()
        self.process.wait(20)


@pytest.fixture
def slapd(tmp_path, certificate):
    running = Slapd(tmp_path, *certificate)
    yield running
    running.stop()


def test_ldap_search_and_bind(make_server, slapd, tmp_path, certificate):
    secret = tmp_path / "ldap-password"
    secret.write_text("service-secret\n")
    secret.chmod(0o600)
    start_tls = f'url = "ldap://localhost:{slapd.port}"\ntls = true\nca_file = "{certificate[0]}"\n'
    settings = ('[[users]]\nsource = "ldap"\nsearch_base = "dc=example,dc=org"\nmake_accounts = true\n'
                'filter = "(&(objectClass=inetOrgPerson)(|(uid=%n)(mail=%u)))"\nuser_attribute = "mail"\n'
                f'bind_dn = "cn=mail,dc=example,dc=org"\npassword_file = "{secret}"\ndomains = ["example.org", ""]\n')
    server = make_server(SETTINGS + settings + start_tls + 'cache = "0s"\n')
    assert plain(server, "ADA@example.org", PASSWORD) == "OK", server.log.read_text()
    # By another name the same account.
    assert plain(server, "ada", PASSWORD) == "OK"
    assert server.run("user", "list").stdout.split() == ["ada@example.org"]
    for name, password in [("ada", "wrong"), ("nobody", PASSWORD), ("nobody@example.org", PASSWORD), ("mail", "service-secret"),
                           ("ada@example.net", PASSWORD)]:
        assert "[AUTHENTICATIONFAILED]" in plain(server, name, password), name
    # Two are found: neither is meant.
    assert "[UNAVAILABLE]" in plain(server, "shared@example.org", PASSWORD)
    # Who is found by the address has another uid, with all that a DN must escape.
    assert "odd@example.org" not in server.run("user", "list").stdout
    assert plain(server, "odd@example.org", PASSWORD) == "OK"
    refuses_odd_names(server)
    assert deliver(server, "bob@example.org", "nobody@example.org", "a*@example.org") == [250, 550, 550]
    app = server.run("user", "app-password", "add", "bob@example.org").stdout.strip()
    assert plain(server, "bob@example.org", app) == "OK"

    # Started again: kept connections are lost, and nobody notices.
    slapd.stop()
    slapd.start()
    assert plain(server, "ada", PASSWORD) == "OK"
    slapd.stop()
    before = counted(server, "ada")
    for name in ["ada", "ada@example.org", "nobody@example.org"]:
        for _ in range(3):
            assert "[UNAVAILABLE]" in plain(server, name, "wrong")
    assert counted(server, "ada") == before
    assert deliver(server, "ada@example.org", "new@example.org") == [250, 451]
    # One that takes connections and says nothing.
    with socket.create_server(("127.0.0.1", slapd.port)):
        time.sleep(1.1)
        assert "[UNAVAILABLE]" in plain(server, "ada", PASSWORD)
    slapd.start()
    time.sleep(1.1)
    assert plain(server, "ada", PASSWORD) == "OK"

    # ldaps; a certificate that is not trusted, or another's; a service account that is refused.
    ldaps = f'url = "ldaps://localhost:{slapd.tls_port}"\nca_file = "{certificate[0]}"\n'
    assert plain(make_server(SETTINGS + settings + ldaps), "ada", PASSWORD) == "OK"
    for wrong in [ldaps.replace("localhost", "127.0.0.1"), ldaps.replace("ca_file", "#ca_file"),
                  start_tls.replace("localhost", "127.0.0.1"), start_tls.replace("ca_file", "#ca_file")]:
        assert "[UNAVAILABLE]" in plain(make_server(SETTINGS + settings + wrong), "ada", PASSWORD), wrong
    secret.write_text("other-secret\n")
    stranger = make_server(SETTINGS + settings + start_tls)
    assert "[UNAVAILABLE]" in plain(stranger, "ada", PASSWORD)
    assert "rc=49" in stranger.log.read_text() and "other-secret" not in stranger.log.read_text()


def test_ldap_bind_as_the_user(make_server, slapd):
    settings = (f'[[users]]\nsource = "ldap"\nurl = "ldap://127.0.0.1:{slapd.port}"\nuser_dn = "uid=%n,dc=example,dc=org"\n'
                'domains = ["example.org"]\nmake_accounts = true\ncache = "0s"\n[[users]]\nsource = "directory"\n')
    server = make_server(SETTINGS + settings)
    server.add_user("carol@example.org", "carol's")
    assert plain(server, "ada@example.org", PASSWORD) == "OK"
    assert plain(server, "carol@example.org", "carol's") == "OK"
    # A password in plain text over the wire is what was asked for here: it is this machine.
    for name, password in [("ada@example.org", "wrong"), ("nobody@example.org", PASSWORD), ("carol@example.org", PASSWORD),
                           ("ada,dc=example@example.org", PASSWORD), ("ada", PASSWORD)]:
        assert "[AUTHENTICATIONFAILED]" in plain(server, name, password), name
    # An empty password would be an anonymous bind, which this directory allows.
    imap = connect(server)
    with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"):
        imap.login("ada@example.org", "")
    refuses_odd_names(server)
    # Without a search there is no asking for a name: mail comes in for who has an account.
    assert deliver(server, "ada@example.org", "bob@example.org") == [250, 550]
    slapd.stop()
    assert "[UNAVAILABLE]" in plain(server, "ada@example.org", PASSWORD)
    assert plain(server, "carol@example.org", "carol's") == "OK"
    slapd.start()


@pytest.fixture
def pam_service():
    """Writes files of /etc/pam.d, and takes them away again."""
    if os.getuid() != 0:
        pytest.skip("only root can configure PAM")
    written = []

    def write(*lines):
        name = f"restante-test-{os.getpid()}-{len(written)}"
        written.append(pathlib.Path("/etc/pam.d") / name)
        written[-1].write_text("\n".join(lines) + "\n")
        return name

    yield write
    for file in written:
        file.unlink()


def pam_source(service, more=""):
    return SETTINGS + f'[[users]]\nsource = "pam"\nservice = "{service}"\nmake_accounts = true\ncache = "0s"\n{more}'


def test_pam_with_a_file(make_server, pam_service, tmp_path):
    """A module that needs no rights, an account phase that closes accounts, and a chain behind it."""
    users = tmp_path / "pwdfile"

    def crypt(password):
        return subprocess.run(["openssl", "passwd", "-6", password], check=True, capture_output=True, text=True).stdout.strip()

    users.write_text(f"ada:{crypt(PASSWORD)}\nclosed:{crypt(PASSWORD)}\n")
    closed = tmp_path / "closed"
    closed.write_text("closed\n")
    service = pam_service(f"auth required pam_pwdfile.so pwdfile={users}",
                          f"account required pam_listfile.so onerr=fail item=user sense=deny file={closed}")
    server = make_server(pam_source(service, 'name = "%n"\ndomains = ["example.org"]\n[[users]]\nsource = "directory"\n'))
    server.add_user("carol@example.org", "carol's")
    assert plain(server, "Ada@example.org", PASSWORD) == "OK", server.log.read_text()
    assert plain(server, "carol@example.org", "carol's") == "OK"
    assert "[AUTHORIZATIONFAILED]" in plain(server, "closed@example.org", PASSWORD)
    for name, password in [("ada@example.org", "wrong"), ("nobody@example.org", PASSWORD), ("ada", PASSWORD),
                           ("closed@example.org", "wrong"), ("carol@example.org", PASSWORD)]:
        assert "[AUTHENTICATIONFAILED]" in plain(server, name, password), name
    refuses_odd_names(server)
    # It cannot be asked for a name alone: mail comes in for who has an account.
    assert deliver(server, "ada@example.org", "nobody@example.org") == [250, 550]
    # Many at once.
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        assert set(pool.map(lambda _: plain(server, "ada@example.org", PASSWORD), range(40))) == {"OK"}
    # Neither arguments nor the environment of a process tell a password, and none is left behind.
    def children(parent):
        listed = subprocess.run(["pgrep", "-P", str(parent), "-a"], capture_output=True, text=True).stdout
        return [line.split(" ", 1) for line in listed.splitlines()]

    (keeper, keepers), = children(server.process.pid)
    (broker, brokers), = children(keeper)
    assert keepers.endswith("pam-keeper") and brokers.endswith("pam-broker") and not children(broker)
    assert PASSWORD not in server.log.read_text()

    # A helper that ends is followed by another, which hears what was asked meanwhile.
    os.kill(int(broker), signal.SIGKILL)
    assert plain(server, "ada@example.org", PASSWORD) == "OK"
    assert "[AUTHENTICATIONFAILED]" in plain(server, "ada@example.org", "wrong")
    (second, _), = children(keeper)
    assert second != broker and "another is started" in server.log.read_text()
    # Without any nobody's password is wrong, and the others go on.
    before = counted(server, "ada@example.org")
    for helper in (keeper, second):
        os.kill(int(helper), signal.SIGKILL)
    time.sleep(0.5)
    for _ in range(3):
        assert "[UNAVAILABLE]" in plain(server, "ada@example.org", PASSWORD)
    assert counted(server, "ada@example.org") == before
    assert plain(server, "carol@example.org", "carol's") == "OK"
    assert deliver(server, "ada@example.org") == [250]


def test_pam_with_the_systems_users(make_server, pam_service, tmp_path):
    """pam_unix reads what only root may read: the helper is started before the server gives that up."""
    service = pam_service("auth required pam_unix.so", "account required pam_unix.so")
    name = f"rt{os.getpid()}"
    subprocess.run(["useradd", "--no-create-home", "--shell", "/usr/sbin/nologin", name], check=True, capture_output=True)
    try:
        subprocess.run(["chpasswd"], input=f"{name}:{PASSWORD}\n", text=True, check=True)
        passable(tmp_path)
        server = make_server(pam_source(service, '[service]\nuser = "nobody"\n'))
        assert plain(server, name, PASSWORD) == "OK", server.log.read_text()
        for other, password in [(name, "wrong"), ("nobody-here", PASSWORD), ("root", PASSWORD)]:
            assert "[AUTHENTICATIONFAILED]" in plain(server, other, password)
        subprocess.run(["chage", "-E", "1", name], check=True)
        assert "[AUTHORIZATIONFAILED]" in plain(server, name, PASSWORD)
        subprocess.run(["chage", "-E", "-1", "-d", "0", name], check=True)
        assert "[EXPIRED]" in plain(server, name, PASSWORD)
        assert "[AUTHENTICATIONFAILED]" in plain(server, name, "wrong")
    finally:
        subprocess.run(["userdel", name], check=True, capture_output=True)


def test_pam_that_hangs_crashes_or_is_not_there(make_server, pam_service):
    hangs = pam_service("auth required pam_exec.so quiet /bin/sleep 60", "account required pam_permit.so")
    server = make_server(pam_source(hangs, 'timeout = "1s"\nconnections = 2\n[[users]]\nsource = "directory"\n'))
    server.add_user("carol", "carol's")
    begin = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda name: plain(server, name, PASSWORD), [f"user{n}" for n in range(8)]))
    assert all("[UNAVAILABLE]" in answer for answer in answers), answers
    assert time.monotonic() - begin < 30
    assert plain(server, "carol", "carol's") == "OK"
    # A module that is not there fails; who is permitted by everything is let in by that alone.
    missing = pam_service("auth required pam_no_such_module.so", "account required pam_permit.so")
    answer = plain(make_server(pam_source(missing)), "ada", PASSWORD)
    assert "[UNAVAILABLE]" in answer or "[AUTHENTICATIONFAILED]" in answer
    permits = pam_service("auth required pam_permit.so", "account required pam_permit.so")
    server = make_server(pam_source(permits))
    assert plain(server, "ada", PASSWORD) == "OK"
    imap = connect(server)
    with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"):
        imap.login("ada", "")


def test_sources_come_and_go_with_a_reload(make_server, tmp_path):
    server = make_server(SETTINGS)
    server.add_user("carol", "carol's")
    assert "AUTH=SCRAM-SHA-256" in connect(server).capabilities
    users = tmp_path / "server0" / "users"
    users.write_text("ada:{PLAIN}x\n")
    users.chmod(0o600)
    file = f'[[users]]\nsource = "passwd-file"\nfile = "{users.name}"\nmake_accounts = true\n'
    server.config.write_text(SETTINGS + file)
    assert "users" in server.run("reload").stdout
    assert plain(server, "ada", "x") == "OK"
    assert "[AUTHENTICATIONFAILED]" in plain(server, "carol", "carol's")
    assert "AUTH=SCRAM-SHA-256" not in connect(server).capabilities
    # What cannot be had leaves all as it was.
    for wrong, reason in [('[[users]]\nsource = "pam"\n', "restart"), ('[[users]]\nsource = "nis"\n', "users.source"),
                          ('[[users]]\nsource = "ldap"\nurl = "ldaps://x"\nuser_dn = "uid=%u"\nca_file = "missing"\n', "missing")]:
        server.config.write_text(SETTINGS + wrong)
        with pytest.raises(subprocess.CalledProcessError) as refused:
            server.run("reload")
        assert reason in refused.value.stderr, refused.value.stderr
        assert plain(server, "ada", "x") == "OK"
    server.config.write_text(SETTINGS)
    server.run("reload")
    assert plain(server, "carol", "carol's") == "OK"
    assert "[AUTHENTICATIONFAILED]" in plain(server, "ada", "x")
