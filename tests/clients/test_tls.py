"""TLS as clients see it: a certificate for each name, client certificates, versions, and load balancers."""

import imaplib
import socket
import ssl
import subprocess

import pytest


def openssl(*arguments):
    return subprocess.run(["openssl", *arguments], check=True, capture_output=True, text=True, timeout=60)


class Authority:
    """Makes certificates."""

    def __init__(self, directory):
        self.directory = directory
        self.certificate, self.key = directory / "ca.pem", directory / "ca.key"
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=Test authority",
                "-addext", "basicConstraints=critical,CA:TRUE", "-keyout", self.key, "-out", self.certificate)

    def make(self, name, alternative):
        key, request = self.directory / f"{name}.key", self.directory / f"{name}.csr"
        certificate, extensions = self.directory / f"{name}.pem", self.directory / f"{name}.ext"
        extensions.write_text(f"subjectAltName={alternative}\nbasicConstraints=CA:FALSE\n")
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", key, "-out", request)
        openssl("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.key, "-CAcreateserial",
                "-days", "2", "-extfile", extensions, "-out", certificate)
        return certificate, key


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


def served(server, context, name):
    """The subject of the certificate that a client gets that asks for this name."""
    with socket.create_connection(("127.0.0.1", server.imaps), timeout=30) as plain:
        with context.wrap_socket(plain, server_hostname=name) as tls:
            return dict(pair for group in tls.getpeercert()["subject"] for pair in group)["commonName"]


def test_a_certificate_for_each_name(make_server, authority):
    first = authority.make("one", "DNS:imap.one.example")
    second = authority.make("two", "DNS:two.example,DNS:*.two.example")
    server = make_server(f'''
[tls]
certificate = "{first[0]}"
key = "{first[1]}"
certificates = [{{ certificate = "{second[0]}", key = "{second[1]}" }}]
''')
    context = ssl.create_default_context(cafile=authority.certificate)
    assert served(server, context, "imap.one.example") == "one"
    assert served(server, context, "two.example") == "two"
    assert served(server, context, "MAIL.two.example") == "two"
    context.check_hostname = False
    assert served(server, context, "a.b.two.example") == "one"
    assert served(server, context, None) == "one"
    # A new certificate is taken without a restart.
    renewed = authority.make("three", "DNS:two.example")
    for old, new in zip(second, renewed):
        old.write_bytes(new.read_bytes())
    server.run("reload", "--config", server.config)
    assert served(server, context, "two.example") == "three"


def test_client_certificates(make_server, authority):
    certificate, key = authority.make("ann", "email:ann@example.org")
    stranger = authority.make("nobody", "email:nobody@example.org")
    server = make_server(f'[tls]\nclient_ca = "{authority.certificate}"\n')
    server.add_user("ann@example.org")

    def connect(files):
        context = server.tls()
        if files:
            context.load_cert_chain(*files)
        return imaplib.IMAP4_SSL("localhost", server.imaps, ssl_context=context, timeout=30)

    imap = connect((certificate, key))
    assert "AUTH=EXTERNAL" in imap.capabilities
    assert imap.authenticate("EXTERNAL", lambda _: b"")[0] == "OK"
    assert imap.select("INBOX")[0] == "OK"
    with pytest.raises(imaplib.IMAP4.error):
        connect(stranger).authenticate("EXTERNAL", lambda _: b"")
    # Who has none signs in as ever.
    imap = connect(None)
    assert "AUTH=EXTERNAL" not in imap.capabilities
    assert imap.login("ann@example.org", "secret")[0] == "OK"
    # One of another authority is none.
    other = authority.directory / "other"
    other.mkdir()
    forged = Authority(other).make("ann", "email:ann@example.org")
    with pytest.raises((ssl.SSLError, OSError, imaplib.IMAP4.error)):
        connect(forged).login("ann@example.org", "secret")


@pytest.mark.parametrize("oldest", ["1.2", "1.3"])
def test_versions(make_server, oldest):
    server = make_server(f'[tls]\nmin_version = "{oldest}"\n')

    def speaks(version):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = version
        try:
            with socket.create_connection(("127.0.0.1", server.imaps), timeout=30) as plain:
                with context.wrap_socket(plain) as tls:
                    return tls.recv(4) == b"* OK"
        except (ssl.SSLError, OSError):
            return False

    versions = ssl.TLSVersion
    assert [speaks(version) for version in (versions.TLSv1_1, versions.TLSv1_2, versions.TLSv1_3)] == [
        False, oldest == "1.2", True]


def v2(source, command=0x21):
    return (b"\r\n\r\n\0\r\nQUIT\n" + bytes([command, 0x11, 0, 12])
            + socket.inet_aton(source) + socket.inet_aton("127.0.0.1") + (4242).to_bytes(2, "big") + b"\0\x8f")


def test_the_client_behind_a_load_balancer(make_server):
    server = make_server('[listen]\nproxy_from = ["127.0.0.1/32"]\n[log]\nformat = "human"\n')
    server.add_user("ann")

    def talk(port, header, wrap=None):
        """What the server says to a login."""
        plain = socket.create_connection(("127.0.0.1", port), timeout=30)
        try:
            # In pieces, as the network may bring it; the first may be enough to be refused.
            plain.sendall(header[:9])
            plain.sendall(header[9:])
            stream = (wrap(plain) if wrap else plain).makefile("rwb")
            greeting = stream.readline()
        except (ConnectionResetError, BrokenPipeError):
            return b""
        if not greeting:
            return b""
        stream.write(b"a LOGIN ann secret\r\nb LOGOUT\r\n")
        stream.flush()
        return stream.read()

    assert talk(server.imaps, b"PROXY TCP4 192.0.2.7 127.0.0.1 4242 993\r\n",
                lambda plain: server.tls().wrap_socket(plain, server_hostname="localhost")).startswith(b"a OK")
    # Another machine, without TLS.
    assert talk(server.imap, v2("192.0.2.8")).startswith(b"a NO [PRIVACYREQUIRED]")
    # A health check speaks for itself.
    assert talk(server.imap, v2("192.0.2.9", command=0x20)).startswith(b"a OK")
    # Without the header nobody is let in.
    assert talk(server.imap, b"a LOGIN ann secret\r\n") == b""
    log = server.log.read_text()
    assert "192.0.2.7:4242" in log and "192.0.2.9" not in log and "begins with a PROXY header" in log
    logins = server.run("user", "logins", "ann").stdout.splitlines()
    assert ["192.0.2.7:4242" in login for login in logins] == [True, False], logins


def test_who_is_no_load_balancer_cannot_say_who_they_are(make_server):
    server = make_server('[listen]\nproxy_from = ["192.0.2.0/24"]\n')
    with socket.create_connection(("127.0.0.1", server.imap), timeout=30) as plain:
        stream = plain.makefile("rwb")
        assert stream.readline().startswith(b"* OK")
        stream.write(b"PROXY TCP4 198.51.100.1 127.0.0.1 4242 143\r\n")
        stream.flush()
        assert b"BAD" in stream.readline()


@pytest.mark.parametrize("bytes_sent", [
    b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"POST /x HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"])
def test_other_protocols_on_the_plain_port_end_the_connection(server, bytes_sent):
    with socket.create_connection(("127.0.0.1", server.imap), timeout=30) as plain:
        plain.sendall(bytes_sent)
        plain.settimeout(20)
        said = b""
        try:
            while chunk := plain.recv(4096):
                said += chunk
        except ConnectionResetError:
            pass
        assert b"BYE" in said, said
