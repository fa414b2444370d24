"""OAUTHBEARER and XOAUTH2 with tokens of a real OpenID provider (oidc-provider), by imaplib and IMAPClient."""

import base64
import imaplib
import json
import os
import pathlib
import subprocess
import time
import urllib.parse
import urllib.request

import imapclient
import pytest
from conftest import ROOT, Server, free_port

MODULES = pathlib.Path(os.environ.get("RESTANTE_NODE_MODULES", ROOT / "target" / "node" / "node_modules"))
USER = "ada@example.org"


class Provider:
    def __init__(self):
        self.port = free_port()
        self.issuer = f"http://localhost:{self.port}"
        self.process = None

    def start(self):
        script = pathlib.Path(__file__).with_name("oidc_provider.mjs")
        self.process = subprocess.Popen(["node", script, MODULES, str(self.port)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for line in self.process.stdout:
            if line.strip() == "READY":
                return self
        raise RuntimeError("the provider does not start")

    def stop(self):
        self.process.stdin.close()
        self.process.wait(20)

    def post(self, path, client, **form):
        pair = f"{urllib.parse.quote_plus(client)}:{urllib.parse.quote_plus('secret of ' + client)}"
        request = urllib.request.Request(
            self.issuer + path, data=urllib.parse.urlencode(form).encode(),
            headers={"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()})
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.read()

    def token(self, kind, client=USER, scope="mail"):
        answer = self.post("/token", client, grant_type="client_credentials", scope=scope, resource=f"urn:{kind}")
        return json.loads(answer)["access_token"]


@pytest.fixture(scope="module")
def provider():
    running = Provider().start()
    yield running
    if running.process.poll() is None:
        running.stop()


@pytest.fixture(scope="module")
def server(tmp_path_factory, provider):
    directory = tmp_path_factory.mktemp("oauth")
    (directory / "secret").write_text("secret of restante\n")
    running = Server(directory, f"""
[oauth]
issuer = "{provider.issuer}"
audience = ["restante"]
scope = "mail"
claim = "client_id"
client_id = "restante"
client_secret_file = "{directory}/secret"
create_accounts = true
leeway = "0s"
[login]
mechanisms = ["OAUTHBEARER", "PLAIN"]
""").start()
    yield running
    running.stop()
    assert "panicked" not in running.log.read_text()


class Refusal:
    """The client's side of OAUTHBEARER as imaplib wants it; keeps the error that it was told."""

    def __init__(self, token, user=USER):
        self.first = f"n,a={user},\x01host=localhost\x01port=993\x01auth=Bearer {token}\x01\x01".encode()
        self.error = None

    def __call__(self, challenge):
        if not challenge:
            return self.first
        self.error = json.loads(challenge)
        return b"\x01"


def connect(server):
    return imaplib.IMAP4_SSL("localhost", server.imaps, ssl_context=server.tls())


def refused(server, token, user=USER):
    client, exchange = connect(server), Refusal(token, user)
    with pytest.raises(imaplib.IMAP4.error) as error:
        client.authenticate("OAUTHBEARER", exchange)
    client.noop()
    client.shutdown()
    return str(error.value), exchange.error


def test_what_is_offered(server):
    capabilities = connect(server).capabilities
    assert "AUTH=OAUTHBEARER" in capabilities and "AUTH=XOAUTH2" in capabilities
    assert not any("SCRAM" in word or "MD5" in word for word in capabilities)


@pytest.mark.parametrize("kind", ["jwt", "opaque"])
def test_a_good_token(server, provider, kind):
    token = provider.token(kind)
    client = connect(server)
    assert client.authenticate("OAUTHBEARER", Refusal(token))[0] == "OK"
    assert client.select()[0] == "OK"
    client.logout()
    with imapclient.IMAPClient("localhost", server.imaps, ssl_context=server.tls()) as other:
        other.oauthbearer_login(USER, token)
        other.select_folder("INBOX")
    with imapclient.IMAPClient("localhost", server.imaps, ssl_context=server.tls()) as other:
        other.oauth2_login(USER, token)
        other.select_folder("INBOX")


def forged(token, header=None, claims=None, signature=None):
    parts = token.split(".")

    def change(part, changes):
        old = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        return base64.urlsafe_b64encode(json.dumps(old | changes).encode()).decode().rstrip("=")
    return ".".join([change(parts[0], header or {}), change(parts[1], claims or {}),
                     parts[2] if signature is None else signature])


def test_bad_tokens(server, provider):
    token = provider.token("jwt")
    first, rest = token.rsplit(".", 1)
    eve = provider.token("jwt", "eve@example.org")
    bad = {
        "wrong audience": provider.token("elsewhere"),
        "alg none": forged(token, {"alg": "none"}, signature=""),
        "alg HS256": forged(token, {"alg": "HS256"}),
        "another key": forged(token, {"kid": "unknown"}),
        "other claims": forged(token, claims={"client_id": "eve@example.org"}),
        "another's signature": first + "." + eve.rsplit(".", 1)[1],
        "unknown": "opaque-and-unknown",
        "empty": "",
    }
    for what, token in bad.items():
        text, error = refused(server, token)
        assert "AUTHENTICATIONFAILED" in text, what
        assert error["status"] == "invalid_token", what
        assert error["openid-configuration"] == provider.issuer + "/.well-known/openid-configuration"
    text, error = refused(server, provider.token("narrow", scope="other"))
    assert error["status"] == "insufficient_scope" and error["scope"] == "mail"
    text, error = refused(server, eve)
    assert "AUTHORIZATIONFAILED" in text and error is None


def test_an_expired_token(server, provider):
    token = provider.token("short")
    time.sleep(2.1)
    assert refused(server, token)[1]["status"] == "invalid_token"


def test_a_revoked_token(server, provider):
    token = provider.token("opaque")
    assert connect(server).authenticate("OAUTHBEARER", Refusal(token))[0] == "OK"
    provider.post("/token/revocation", USER, token=token)
    assert refused(server, token)[1]["status"] == "invalid_token"


def test_a_provider_that_is_down(server, provider):
    """The last: known keys go on, what has to be asked is NO [UNAVAILABLE]."""
    token, opaque = provider.token("jwt"), provider.token("opaque")
    assert connect(server).authenticate("OAUTHBEARER", Refusal(token))[0] == "OK"
    provider.stop()
    assert connect(server).authenticate("OAUTHBEARER", Refusal(token))[0] == "OK"
    text, error = refused(server, opaque)
    assert "UNAVAILABLE" in text and error is None
