"""TLS as clients see it: a certificate for each name, client certificates, versions, and load balancers."""

import imaplib
import socket
import ssl
import subprocess
import zlib

import pytest
import sslyze
from sslyze.mozilla_tls_profile.tls_config_checker import (
    SCAN_COMMANDS_NEEDED_BY_MOZILLA_CHECKER, MozillaTlsConfiguration, ServerNotCompliantWithTlsConfiguration,
    TlsConfigurationEnum, check_server_against_tls_configuration)


def openssl(*arguments):
    return subprocess.run(["openssl", *arguments], check=True, capture_output=True, text=True, timeout=60)


class Authority:
    """Makes certificates."""

    def __init__(self, directory):
        self.directory = directory
        self.certificate, self.key = directory / "ca.pem", directory / "ca.key"
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=Test authority",
                "-addext", "basicConstraints=critical,CA:TRUE", "-keyout", self.key, "-out", self.certificate)

    def make(self, name, alternative, kind=("rsa:2048",)):
        key, request = self.directory / f"{name}.key", self.directory / f"{name}.csr"
        certificate, extensions = self.directory / f"{name}.pem", self.directory / f"{name}.ext"
        extensions.write_text(f"subjectAltName={alternative}\nbasicConstraints=CA:FALSE\n")
        openssl("req", "-newkey", *kind, "-nodes", "-subj", f"/CN={name}", "-keyout", key, "-out", request)
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


def until_closed(connection):
    """What comes until the other end closes the connection."""
    said = b""
    try:
        while chunk := connection.recv(4096):
            said += chunk
    except ConnectionResetError:
        pass
    return said


@pytest.mark.parametrize("bytes_sent", [
    b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"POST /x HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"])
def test_other_protocols_on_the_plain_port_end_the_connection(server, bytes_sent):
    with socket.create_connection(("127.0.0.1", server.imap), timeout=30) as plain:
        plain.sendall(bytes_sent)
        plain.settimeout(20)
        said = until_closed(plain)
        assert b"BYE" in said, said


def scanned(port, starttls=None):
    """What sslyze finds of a server, and where it departs from Mozilla's profile "intermediate"."""
    network = sslyze.ServerNetworkConfiguration("localhost", tls_opportunistic_encryption=starttls)
    more = {sslyze.ScanCommand.SESSION_RESUMPTION, sslyze.ScanCommand.TLS_1_3_EARLY_DATA}
    scanner = sslyze.Scanner()
    scanner.queue_scans([sslyze.ServerScanRequest(
        sslyze.ServerNetworkLocation("localhost", port, "127.0.0.1"), network,
        SCAN_COMMANDS_NEEDED_BY_MOZILLA_CHECKER | more)])
    result, = scanner.get_results()
    assert result.scan_status == sslyze.ServerScanStatusEnum.COMPLETED, result
    profile = MozillaTlsConfiguration.get(TlsConfigurationEnum.MOZILLA_INTERMEDIATE)
    try:
        check_server_against_tls_configuration(result, profile)
        return result.scan_result, {}
    except ServerNotCompliantWithTlsConfiguration as error:
        return result.scan_result, error.issues


@pytest.mark.parametrize("starttls", [False, True])
@pytest.mark.parametrize("kind", ["its own", "rsa"])
def test_a_scanner_finds_nothing_weak(make_server, authority, kind, starttls):
    settings = "[limits]\nconnections_per_address = 1000\n"
    if kind == "rsa":
        certificate, key = authority.make("one", "DNS:localhost")
        settings += f'[tls]\ncertificate = "{certificate}"\nkey = "{key}"\n'
    server = make_server(settings)
    imap = sslyze.ProtocolWithOpportunisticTlsEnum.IMAP
    found, issues = scanned(*(server.imap, imap) if starttls else (server.imaps,))
    # What a certificate that nobody has signed cannot have.
    assert set(issues) <= {"certificate_path_validation", "maximum_certificate_lifespan"}, issues
    for version in ("ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1"):
        assert not getattr(found, f"{version}_cipher_suites").result.accepted_cipher_suites, version

    def suites(version):
        accepted = getattr(found, f"{version}_cipher_suites").result.accepted_cipher_suites
        return {suite.cipher_suite.name for suite in accepted}

    ciphers = {"AES_128_GCM_SHA256", "AES_256_GCM_SHA384", "CHACHA20_POLY1305_SHA256"}
    assert suites("tls_1_3") == {f"TLS_{cipher}" for cipher in ciphers}
    signed = "RSA" if kind == "rsa" else "ECDSA"
    assert suites("tls_1_2") == {f"TLS_ECDHE_{signed}_WITH_{cipher}" for cipher in ciphers}
    assert not found.tls_compression.result.supports_compression
    assert not found.heartbleed.result.is_vulnerable_to_heartbleed
    assert not found.openssl_ccs_injection.result.is_vulnerable_to_ccs_injection
    assert not found.session_renegotiation.result.is_vulnerable_to_client_renegotiation_dos
    assert found.session_renegotiation.result.supports_secure_renegotiation
    assert found.tls_extended_master_secret.result.supports_ems_extension
    assert found.tls_fallback_scsv.result.supports_fallback_scsv
    assert found.robot.result.robot_result.name.startswith("NOT_VULNERABLE")
    # The server keeps no sessions (tickets: below), and takes no data before the handshake's end, which
    # somebody else could send again. (sslyze takes a ticket for refused where a new one is given each time.)
    resumption = found.session_resumption.result
    assert resumption.session_id_resumption_result.name == "NOT_SUPPORTED"
    assert not found.tls_1_3_early_data.result.supports_early_data
    if kind != "rsa":
        key = found.certificate_info.result.certificate_deployments[0].received_certificate_chain[0].public_key()
        assert key.curve.name == "secp256r1"


def test_who_asks_for_another_protocol_is_not_served(server):
    def negotiated(*offered):
        context = server.tls()
        if offered:
            context.set_alpn_protocols(list(offered))
        with socket.create_connection(("127.0.0.1", server.imaps), timeout=30) as plain:
            with context.wrap_socket(plain, server_hostname="localhost") as tls:
                assert tls.recv(4) == b"* OK"
                return tls.selected_alpn_protocol()

    assert negotiated() is None
    assert negotiated("imap") == negotiated("h2", "imap") == "imap"
    # A browser that was led here (RFC 7301 §3.2).
    with pytest.raises(ssl.SSLError, match="no application protocol|NO_APPLICATION_PROTOCOL"):
        negotiated("h2", "http/1.1")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_sessions_are_resumed_by_tickets(server, version):
    context = server.tls()
    context.minimum_version = context.maximum_version = version

    def visit(session, name="localhost"):
        with socket.create_connection(("127.0.0.1", server.imaps), timeout=30) as plain:
            with context.wrap_socket(plain, server_hostname=name, session=session) as tls:
                # The ticket comes after the handshake.
                assert tls.recv(4) == b"* OK"
                return tls.session, tls.session_reused

    session, again = visit(None)
    assert not again and session.has_ticket
    assert visit(session)[1]
    # A ticket is of no use to another process: the keys are its own.
    server.stop()
    server.start()
    assert not visit(session)[1]


def test_openssl_s_client(make_server, authority):
    """What an administrator sees who looks by hand: names, a client's certificate, a new one after a reload."""
    first, client = authority.make("one", "DNS:one.example"), authority.make("ann", "email:ann@example.org")
    second = authority.make("two", "DNS:two.example", ("ec", "-pkeyopt", "ec_paramgen_curve:P-256"))
    server = make_server(f'''
[tls]
certificate = "{first[0]}"
key = "{first[1]}"
client_ca = "{authority.certificate}"
certificates = [{{ certificate = "{second[0]}", key = "{second[1]}" }}]
''')
    server.add_user("ann@example.org")

    def look(*arguments, port=server.imaps):
        command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-CAfile", authority.certificate,
                   "-verify_return_error", "-crlf", "-ign_eof", *arguments]
        done = subprocess.run(command, input="a AUTHENTICATE EXTERNAL =\nb LOGOUT\n", capture_output=True, text=True, timeout=60)
        return done.stdout + done.stderr

    shown = look("-servername", "one.example", "-verify_hostname", "one.example")
    assert "Verification: OK" in shown and "subject=CN = one" in shown and "a NO" in shown, shown
    shown = look("-servername", "two.example", "-verify_hostname", "two.example", "-cert", client[0], "-key", client[1])
    assert "subject=CN = two" in shown and "a OK" in shown and "b OK" in shown, shown
    shown = look("-servername", "two.example", "-starttls", "imap", "-tls1_2", port=server.imap)
    assert "subject=CN = two" in shown and "Protocol  : TLSv1.2" in shown, shown
    # The file alone is changed: nobody has to tell the server, but it is told here, to be sooner.
    renewed = authority.make("three", "DNS:two.example")
    for old, new in zip(second, renewed):
        old.write_bytes(new.read_bytes())
    server.run("reload", "--config", server.config)
    assert "subject=CN = three" in look("-servername", "two.example")


def test_nothing_that_was_sent_before_starttls_is_read_inside(server):
    """CVE-2011-0411 and its kin: what somebody puts behind STARTTLS in plain text must not become the client's."""
    for behind in (b"x NOOP\r\n", b"x LOGIN ann secret\r\n", b"x NOOP"):
        with socket.create_connection(("127.0.0.1", server.imap), timeout=30) as plain:
            plain.recv(4096)
            plain.sendall(b"s STARTTLS\r\n" + behind)
            assert plain.recv(4096).startswith(b"s OK")
            with server.tls().wrap_socket(plain, server_hostname="localhost") as inside:
                inside.sendall(b"y CAPABILITY\r\nz LOGOUT\r\n")
                answer = until_closed(inside)
                assert b"y OK" in answer and b"z OK" in answer and b"x " not in answer, answer
    # What comes between the answer and the handshake is part of the handshake, and ends it.
    with socket.create_connection(("127.0.0.1", server.imap), timeout=30) as plain:
        plain.recv(4096)
        plain.sendall(b"s STARTTLS\r\n")
        assert plain.recv(4096).startswith(b"s OK")
        plain.sendall(b"x NOOP\r\n")
        answer = until_closed(plain)
        assert b"OK" not in answer, answer


def test_compress_inside_starttls(server, user):
    """The dialogue of RFC 4978 §3: compressed first, then encrypted."""
    with socket.create_connection(("127.0.0.1", server.imap), timeout=30) as plain:
        assert b"STARTTLS" in plain.recv(4096)
        plain.sendall(b"a starttls\r\n")
        assert plain.recv(4096).startswith(b"a OK")
        with server.tls().wrap_socket(plain, server_hostname="localhost") as inside:
            lines = inside.makefile("rb")

            def until(tag):
                while not (line := lines.readline()).startswith(tag):
                    assert line, tag
                return line

            inside.sendall(f"b login {user} secret\r\n".encode())
            assert b"COMPRESS=DEFLATE" in until(b"b OK")
            inside.sendall(b"c compress deflate\r\n")
            until(b"c OK")
            # From this point on, everything is compressed before being encrypted.
            pack, unpack = zlib.compressobj(wbits=-15), zlib.decompressobj(wbits=-15)
            inside.sendall(pack.compress(b"d SELECT INBOX\r\ne LOGOUT\r\n") + pack.flush(zlib.Z_SYNC_FLUSH))
            packed = lines.read()
            answer = unpack.decompress(packed)
            assert b"d OK [READ-WRITE]" in answer and answer.rstrip().splitlines()[-1].startswith(b"e OK"), answer
            assert len(packed) < len(answer)
