"""Certificates from a real ACME server (Pebble, of Let's Encrypt), by both challenges; renewal; failures."""

import base64
import json
import os
import shutil
import socket
import ssl
import subprocess
import time
import urllib.request

import pytest

from conftest import BINARY, free_port

pytestmark = pytest.mark.skipif(not shutil.which("pebble"), reason="needs the package pebble")

NAMES = ["mail.example.test", "imap.example.test"]


class Authority:
    """Pebble and the DNS that it asks: every name is 127.0.0.1."""

    def __init__(self, directory, validity=90 * 86_400, customers=None):
        self.directory, self.validity = directory, validity
        self.http, self.tls = free_port(), free_port()
        self.listen, self.management, self.dns, self.dns_management = (free_port() for _ in range(4))
        self.certificate, key = directory / "pebble.pem", directory / "pebble.key"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
             "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
             "-addext", "basicConstraints=critical,CA:FALSE", "-out", self.certificate, "-keyout", key],
            check=True, capture_output=True)
        (directory / "pebble.json").write_text(json.dumps({"pebble": {
            "listenAddress": f"127.0.0.1:{self.listen}", "managementListenAddress": f"127.0.0.1:{self.management}",
            "certificate": str(self.certificate), "privateKey": str(key),
            "externalAccountBindingRequired": bool(customers), "externalAccountMACKeys": customers or {},
            "httpPort": self.http, "tlsPort": self.tls, "certificateValidityPeriod": validity}}))
        self.processes = []

    def start(self):
        log = open(self.directory / "pebble.log", "ab")
        settings = dict(stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self.processes.append(subprocess.Popen(
            ["pebble-challtestsrv", "-defaultIPv6", "", "-http01", "", "-https01", "", "-tlsalpn01", "",
             "-dns01", f"127.0.0.1:{self.dns}", "-management", f"127.0.0.1:{self.dns_management}"], **settings))
        self.processes.append(subprocess.Popen(
            ["pebble", "-config", self.directory / "pebble.json", "-dnsserver", f"127.0.0.1:{self.dns}"],
            env={**os.environ, "PEBBLE_VA_NOSLEEP": "1"}, **settings))
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.listen), 1).close()
                return self
            except OSError:
                assert time.monotonic() < deadline, (self.directory / "pebble.log").read_text()
                time.sleep(0.05)

    def stop(self):
        for process in self.processes:
            process.terminate()
            process.wait(20)
        self.processes = []

    def root(self):
        """What its certificates are checked with: made anew at every start."""
        context = ssl.create_default_context(cafile=self.certificate)
        url = f"https://localhost:{self.management}/roots/0"
        with urllib.request.urlopen(url, context=context, timeout=10) as answer:
            return answer.read().decode()

    def settings(self, challenge, domains=NAMES):
        listen = f'http = ["127.0.0.1:{self.http}"]' if challenge == "http-01" else \
            f'imaps = ["127.0.0.1:{self.tls}"]'
        return (f'[listen]\n{listen}\n[acme]\ndomains = {json.dumps(domains)}\nagree_terms = true\n'
                f'contact = ["postmaster@example.test"]\ndirectory = "https://localhost:{self.listen}/dir"\n'
                f'ca_file = "{self.certificate}"\nchallenge = "{challenge}"\n')


@pytest.fixture
def authority(tmp_path):
    running = []

    def make(**keywords):
        running.append(Authority(tmp_path, **keywords))
        return running[-1]

    yield make
    for one in running:
        one.stop()


def certificate(port, name, root=None):
    """What a client that asks for this name is shown, checked if there is something to check it with."""
    context = ssl.create_default_context(cadata=root) if root else ssl._create_unverified_context()
    with socket.create_connection(("127.0.0.1", port), 10) as tcp:
        with context.wrap_socket(tcp, server_hostname=name) as tls:
            assert tls.recv(100).startswith(b"* OK")
            der = tls.getpeercert(binary_form=True)
    done = subprocess.run(["openssl", "x509", "-inform", "DER", "-noout", "-serial", "-issuer"], input=der, check=True,
                          capture_output=True)
    return done.stdout.decode()


def wait_for(server, text, times=1, seconds=90):
    deadline = time.monotonic() + seconds
    while server.log.read_text().count(text) < times:
        assert time.monotonic() < deadline, f"{text!r} not in " + server.log.read_text()
        time.sleep(0.05)


HAVE = "a new certificate from the ACME authority is in use"


@pytest.mark.parametrize("challenge", ["http-01", "tls-alpn-01"])
def test_a_certificate_is_ordered_and_used(make_server, authority, challenge):
    authority = authority().start()
    server = make_server(authority.settings(challenge), imaps=authority.tls)
    wait_for(server, HAVE)
    root = authority.root()
    for name in NAMES:
        shown = certificate(server.imaps, name, root)
    assert "Pebble" in shown
    # Others get it, too: it is better than the self-signed one.
    assert certificate(server.imaps, "other.example.test") == shown
    files = server.data / "tls" / "acme"
    assert sorted(path.name for path in files.iterdir()) == ["account.json", "certificate.pem"]
    assert {path.stat().st_mode & 0o777 for path in files.iterdir()} == {0o600}
    # It is kept, and no other is ordered.
    server.stop()
    server.start()
    assert certificate(server.imaps, NAMES[0], root) == shown
    time.sleep(1)
    assert server.log.read_text().count(HAVE) == 1
    if challenge == "http-01":
        # There is nothing else to be had.
        for path, status in (("/", 404), ("/.well-known/acme-challenge/x", 404)):
            with pytest.raises(urllib.error.HTTPError) as error:
                urllib.request.urlopen(f"http://127.0.0.1:{authority.http}{path}", timeout=10)
            assert error.value.code == status
    else:
        # Who asks for the protocol of challenges when none runs is not served.
        context = ssl._create_unverified_context()
        context.set_alpn_protocols(["acme-tls/1"])
        with socket.create_connection(("127.0.0.1", server.imaps), 10) as tcp, pytest.raises(ssl.SSLError):
            context.wrap_socket(tcp, server_hostname=NAMES[0])
        # Other protocols are the client's own business.
        context.set_alpn_protocols(["imap", "acme-tls/1"])
        with socket.create_connection(("127.0.0.1", server.imaps), 10) as tcp:
            context.wrap_socket(tcp, server_hostname=NAMES[0]).close()


def test_it_is_renewed_before_it_ends(make_server, authority):
    authority = authority(validity=9).start()
    server = make_server(authority.settings("http-01"), imaps=free_port())
    wait_for(server, HAVE)
    first = certificate(server.imaps, NAMES[0], authority.root())
    wait_for(server, HAVE, times=server.log.read_text().count(HAVE) + 1)
    # Without a restart; the account is the same.
    second = certificate(server.imaps, NAMES[0], authority.root())
    assert first != second
    assert server.log.read_text().count("ACME account made") == 1


def test_other_names_need_another_certificate(make_server, authority):
    authority = authority().start()
    server = make_server(authority.settings("http-01", NAMES[:1]), imaps=free_port())
    wait_for(server, HAVE)
    server.stop()
    server.config.write_text(authority.settings("http-01"))
    server.start()
    wait_for(server, HAVE, times=2)
    certificate(server.imaps, NAMES[1], authority.root())


def test_failures_say_what_to_do_and_are_tried_again(make_server, authority):
    authority = authority()
    server = make_server(authority.settings("http-01"), imaps=free_port())
    server.add_user("ada")
    wait_for(server, "no certificate from the ACME authority")
    assert "check acme.directory and acme.ca_file" in server.log.read_text()
    # Clients are served all the same.
    assert "Restante" in certificate(server.imaps, "localhost")
    # Somebody else answers: another port than the one that the authority asks at.
    right, authority.http = authority.http, free_port()
    text = (authority.directory / "pebble.json").read_text().replace(f'"httpPort": {right}', f'"httpPort": {authority.http}')
    (authority.directory / "pebble.json").write_text(text)
    authority.start()
    subprocess.run([BINARY, "reload", "--data", server.data], check=True, capture_output=True)
    wait_for(server, "port 80 of every domain must lead to listen.http")
    # It is put right, and tried at once.
    authority.stop()
    (authority.directory / "pebble.json").write_text(text.replace(f'"httpPort": {authority.http}', f'"httpPort": {right}'))
    authority.start()
    # The account was the old process's: Pebble forgets them.
    subprocess.run([BINARY, "reload", "--data", server.data], check=True, capture_output=True)
    wait_for(server, "remove DATA/tls/acme/account.json")
    (server.data / "tls" / "acme" / "account.json").unlink()
    subprocess.run([BINARY, "reload", "--data", server.data], check=True, capture_output=True)
    wait_for(server, HAVE)
    certificate(server.imaps, NAMES[0], authority.root())


def test_an_authority_that_knows_its_customers(make_server, authority, tmp_path):
    key = base64.urlsafe_b64encode(bytes(range(32))).decode().rstrip("=")
    authority = authority(customers={"kid-1": key}).start()
    server = make_server(authority.settings("http-01", NAMES[:1]), imaps=free_port())
    wait_for(server, "set acme.eab_key_id and acme.eab_key_file")
    file = tmp_path / "server0" / "eab-key"
    file.write_text(key + "\n")
    file.chmod(0o600)
    server.config.write_text(authority.settings("http-01", NAMES[:1]) + f'eab_key_id = "kid-1"\neab_key_file = "{file}"\n')
    server.stop()
    server.start()
    wait_for(server, HAVE)
    certificate(server.imaps, NAMES[0], authority.root())
