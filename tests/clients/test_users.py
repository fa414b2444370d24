"""Users who come from elsewhere: passwd-files, …, each the real thing."""

import base64
import concurrent.futures
import imaplib
import shutil
import smtplib
import socket
import subprocess

import pytest

PASSWORD = "pass word: ä1"
# No log-in delay is measured here, and the throttle must not make the tests slow.
SETTINGS = '[login]\nthrottle = "0s"\n'
# Names that mean something to SQL, LDAP, shells, file systems and passwd-files.
NAMES = ["' OR '1'='1", "ada'--", 'ada"; DROP TABLE users; --', "*", "a*", "ada)(uid=*", "*)(|(uid=*", "ada,dc=example",
         "ada\\", "ada\\2a", "%u", "%n", "%d", "$1", "?1", "ada:x", "ada\t", "../ada", "-h", "ada@example.org@example.org",
         "ada@", "@example.org", "@", "äda", "ada\u202e"]


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
            assert lmtp.getreply()[0] == 250
        return codes


def test_a_passwd_file_of_every_scheme(make_server, tmp_path):
    doveadm = shutil.which("doveadm")
    assert doveadm, "dovecot-core is not installed"
    schemes = ["PLAIN.B64", "CLEARTEXT.HEX", "ARGON2ID", "ARGON2I", "SHA512-CRYPT", "SHA256-CRYPT", "BLF-CRYPT", "CRYPT",
               "SSHA512", "SSHA256", "SSHA", "SHA512", "SHA256", "SHA", "SSHA512.HEX", "SHA256.HEX", "SHA.B64", "PBKDF2",
               "SCRAM-SHA-256", "SCRAM-SHA-1", "MD5-CRYPT", "SMD5", "PLAIN-MD5", "LDAP-MD5"]
    lines = []
    for scheme in schemes:
        made = subprocess.run([doveadm, "pw", "-s", scheme, "-p", PASSWORD], check=True, capture_output=True, text=True)
        lines.append(f"{scheme.lower()}@example.org:{made.stdout.strip()}:1000:1000::/home/x::userdb_mail=x\n")
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
    assert "new@example.org" not in server.run("throttle", "list").stdout
    users.write_text("other@example.org:{PLAIN}x\n")
    assert "[AUTHORIZATIONFAILED]" in plain(server, "new@example.org", app)


def test_hashes_taken_over_by_the_directory(make_server, tmp_path):
    server = make_server()
    made = subprocess.run(["doveadm", "pw", "-s", "SHA512-CRYPT", "-p", PASSWORD], check=True, capture_output=True, text=True)
    server.run("user", "add", "ada", "--hash-stdin", input=made.stdout)
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
