"""SCRAM by clients that others wrote: mbsync with Cyrus SASL, and Python's imaplib with scramp."""

import imaplib
import subprocess

import pytest
import scramp


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-1"])
def test_imaplib_with_scramp(server, user, mechanism):
    for password, right in [("secret", True), ("wrong", False)]:
        imap = imaplib.IMAP4_SSL("localhost", server.imaps, ssl_context=server.tls())
        assert f"AUTH={mechanism}" in imap.capabilities
        client = scramp.ScramClient([mechanism], user, password)
        steps = iter([lambda _: client.get_client_first(),
                      lambda text: (client.set_server_first(text), client.get_client_final())[1],
                      lambda text: (client.set_server_final(text), "")[1]])

        def answer(challenge):
            return next(steps)(challenge.decode()).encode()
        if right:
            assert imap.authenticate(mechanism, answer)[0] == "OK"
            assert imap.select()[0] == "OK"
            imap.logout()
        else:
            with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"):
                imap.authenticate(mechanism, answer)
            imap.shutdown()


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-1"])
def test_mbsync_with_cyrus_sasl(server, user, tmp_path, mechanism):
    (tmp_path / "mail").mkdir()
    config = tmp_path / "mbsyncrc"
    config.write_text(f"""
IMAPAccount restante
Host localhost
Port {server.imaps}
User {user}
Pass secret
SSLType IMAPS
SystemCertificates no
CertificateFile {server.certificate}
AuthMechs {mechanism}

IMAPStore far
Account restante

MaildirStore near
Inbox {tmp_path}/mail/inbox
Path {tmp_path}/mail/

Channel all
Far :far:
Near :near:
Patterns INBOX
Create Near
SyncState *
""")
    done = subprocess.run(["mbsync", "-c", config, "-V", "all"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"Authenticating with SASL mechanism {mechanism}" in done.stdout, done.stdout
