"""A throw-away Restante for every test module: its own data directory, its own loopback ports."""

import email.message
import os
import pathlib
import random
import signal
import socket
import ssl
import subprocess
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ.get("RESTANTE_BIN", str(ROOT / "target" / "release" / "restante"))


def free_port():
    """Below those that the system gives to connections, so that none of them takes it before its server does."""
    while True:
        port = random.randrange(11000, 32000)
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass


class Server:
    """One `restante serve` process and what a test needs to reach it."""

    def __init__(self, directory, settings="", **ports):
        self.data = directory / "data"
        self.config = directory / "restante.toml"
        self.config.write_text(settings)
        self.log = directory / "restante.log"
        self.imap, self.imaps, self.lmtp = free_port(), free_port(), free_port()
        for service, port in ports.items():
            setattr(self, service, port)
        self.process = None

    def start(self, *program):
        """Starts it; `program` instead of the binary itself."""
        log = open(self.log, "ab")
        self.process = subprocess.Popen(
            [*(program or [BINARY]), "serve", "--config", self.config, "--data", self.data, "--imap", f"127.0.0.1:{self.imap}",
             "--imaps", f"127.0.0.1:{self.imaps}", "--lmtp", f"127.0.0.1:{self.lmtp}"],
            stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError("restante ended: " + self.log.read_text())
            try:
                for port in (self.imap, self.imaps, self.lmtp):
                    socket.create_connection(("127.0.0.1", port), 1).close()
                return self
            except OSError:
                time.sleep(0.05)
        raise RuntimeError("restante does not listen: " + self.log.read_text())

    def stop(self, how=signal.SIGTERM):
        if self.process and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(60)

    def run(self, *arguments, **keywords):
        return subprocess.run([BINARY, *arguments, "--data", self.data], check=True,
                              capture_output=True, text=True, timeout=120, **keywords)

    def add_user(self, name, password="secret"):
        self.run("user", "add", name, "--password-stdin", input=password + "\n")
        return name

    @property
    def certificate(self):
        return str(self.data / "tls" / "cert.pem")

    def tls(self):
        """A context that trusts this server's own certificate, and checks it."""
        return ssl.create_default_context(cafile=self.certificate)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    running = Server(tmp_path_factory.mktemp("restante")).start()
    yield running
    running.stop()
    log = running.log.read_text()
    assert "panicked" not in log, log
    checked = subprocess.run([BINARY, "check", "--data", running.data], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.fixture
def make_server(tmp_path):
    """Servers of one test's own, with settings."""
    running = []

    def make(settings="", **ports):
        directory = tmp_path / f"server{len(running)}"
        directory.mkdir()
        running.append(Server(directory, settings, **ports).start())
        return running[-1]

    yield make
    for server in running:
        server.stop()
        assert "panicked" not in server.log.read_text()


@pytest.fixture
def user(server, request):
    """A fresh account for one test."""
    return server.add_user(request.node.name.replace("[", "-").replace("]", "").lower())


def message(subject, body="Hello\n", sender="ann@example.org", **headers):
    m = email.message.EmailMessage()
    m["From"], m["To"], m["Subject"] = sender, "bob@example.org", subject
    m["Date"] = "Mon, 02 Nov 2026 10:00:00 +0100"
    m["Message-ID"] = f"<{abs(hash((subject, body)))}@example.org>"
    for name, value in headers.items():
        m[name.replace("_", "-")] = value
    m.set_content(body)
    return m.as_bytes(policy=m.policy.clone(linesep="\r\n"))
