"""Throw-away servers for benches/compare: Restante, and Dovecot and Cyrus from Debian's packages."""

import base64
import hashlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

PASSWORD = "benchpass"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(port, process, log):
    for _ in range(300):
        if process.poll() is not None:
            sys.exit(f"the server ended: see {log}\n{Path(log).read_text()[-2000:]}")
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    sys.exit(f"nobody listens on port {port}: see {log}\n{Path(log).read_text()[-2000:]}")


def install(*packages):
    """Installs what is missing, without starting what it brings."""
    def there(package):
        query = ["dpkg-query", "-W", "-f=${Status}", package]
        return "ok installed" in subprocess.run(query, capture_output=True, text=True).stdout

    missing = [package for package in packages if not there(package)]
    if not missing:
        return
    print(f"installing {' '.join(missing)}", file=sys.stderr)
    policy = Path("/usr/sbin/policy-rc.d")
    ours = not policy.exists()
    if ours:
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
    try:
        env = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
        subprocess.run(["apt-get", "update", "-qq"], check=True, stdout=subprocess.DEVNULL, env=env)
        subprocess.run(["apt-get", "install", "-qy", "--no-install-recommends", *missing],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env)
    finally:
        if ours:
            policy.unlink()


def version_of(package):
    query = ["dpkg-query", "-W", "-f=${Version}", package]
    return f"{package} {subprocess.run(query, capture_output=True, text=True).stdout} (Debian)"


def tree(pid):
    """A process and all that it started."""
    children = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found = [pid]
    for one in found:
        found += children.get(one, [])
    return found


def pin(pid, cores):
    """Lets a process, its threads and its children run on these cores only; those that come inherit it."""
    for process in tree(pid):
        for thread in Path(f"/proc/{process}/task").glob("*"):
            try:
                os.sched_setaffinity(int(thread.name), cores)
            except OSError:
                pass  # It has ended.


class Server:
    def __init__(self, directory):
        self.name, self.directory = directory.name, directory
        self.imap, self.imaps, self.lmtp = free_port(), free_port(), free_port()
        self.log = directory / "output"
        self.process = None

    def launch(self, command):
        self.command = command
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        for port in (self.imap, self.imaps, self.lmtp):
            wait_for(port, self.process, self.log)

    def certificate(self):
        """A certificate for TLS, as the server's own would be: ECDSA P-256."""
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
             "-subj", "/CN=localhost", "-keyout", self.directory / "key.pem", "-out", self.directory / "cert.pem"],
            check=True, capture_output=True)

    def remove(self):
        """Removes what it has outside of its directory."""

    def after_filling(self):
        """Called once the large mailboxes are there."""

    def restart(self):
        self.stop()
        self.launch(self.command)

    def stop(self):
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()


class Restante(Server):
    CONFIG = """
# All connections of a run come from one address and one user.
[limits]
connections_per_address = 20000
connections_per_user = 20000

[log]
level = "warn"

# Each login is checked, against a hash that costs little: the server is measured, not argon2. What was right a
# moment ago is not remembered.
[login]
cache = "0s"

[[users]]
source = "passwd-file"
file = "{users}"
make_accounts = true
"""

    def __init__(self, directory, binary):
        super().__init__(directory)
        self.binary = binary

    def start(self, users):
        data = self.directory / "data"
        file = self.directory / "users"
        digest = base64.b64encode(hashlib.sha256(PASSWORD.encode() + b"salt").digest() + b"salt").decode()
        file.write_text("".join(f"{user}:{{SSHA256}}{digest}\n" for user in users))
        file.chmod(0o600)
        config = self.directory / "restante.toml"
        config.write_text(self.CONFIG.format(users=file))
        self.launch([
            str(self.binary), "serve", "--config", str(config), "--data", str(data), "--imap", f"127.0.0.1:{self.imap}",
            "--imaps", f"127.0.0.1:{self.imaps}", "--lmtp", f"127.0.0.1:{self.lmtp}", "--allow-plaintext-login",
        ])

    def version(self):
        return subprocess.run([self.binary, "--version"], capture_output=True, text=True).stdout.strip()

    def settings(self):
        return {"restante.toml": self.CONFIG.format(users="DIR/users")}


class Dovecot(Server):
    CONFIG = """
base_dir = {dir}/run
state_dir = {dir}/state
log_path = {dir}/dovecot.log
instance_name = restante-compare
protocols = imap lmtp
listen = 127.0.0.1
ssl = yes
ssl_cert = <{dir}/cert.pem
ssl_key = <{dir}/key.pem
disable_plaintext_auth = no
auth_username_format = %Ln
mail_location = sdbox:{dir}/mail/%u
# The default: every saved message is synced before it is acknowledged; flags are not.
mail_fsync = {fsync}
mail_max_userip_connections = 0
first_valid_uid = 1
first_valid_gid = 1
default_client_limit = 20000
default_process_limit = 12000
# These users have flags synced too.
passdb {{
  driver = static
  username_filter = sync*
  args = nopassword=y userdb_uid={user} userdb_gid={group} userdb_home={dir}/mail/%u userdb_mail_fsync={sync}
}}
passdb {{
  driver = static
  args = nopassword=y userdb_uid={user} userdb_gid={group} userdb_home={dir}/mail/%u
}}
userdb {{
  driver = prefetch
}}
userdb {{
  driver = static
  args = uid={user} gid={group} home={dir}/mail/%u
}}
namespace inbox {{
  inbox = yes
  separator = /
}}
# Login processes and, as the users share a uid, imap processes are kept.
service imap-login {{
  service_count = 0
  process_min_avail = 2
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
  }}
}}
service imap {{
  service_count = 0
  process_min_avail = 8
  process_limit = 12000
}}
service lmtp {{
  process_min_avail = 2
  inet_listener lmtp {{
    port = {lmtp}
  }}
}}
service anvil {{
  client_limit = 30000
}}
service auth {{
  client_limit = 60000
}}
service stats {{
  client_limit = 30000
}}
"""

    def start(self, users):
        install("dovecot-imapd", "dovecot-lmtpd")
        owner = pwd.getpwnam("nobody")
        for name in ["mail", "run", "state"]:
            (self.directory / name).mkdir()
        os.chown(self.directory / "mail", owner.pw_uid, owner.pw_gid)
        self.certificate()
        # Only while the large mailboxes are filled; otherwise that takes very long.
        self.run("never", "never")

    def run(self, fsync, sync):
        owner = pwd.getpwnam("nobody")
        config = self.directory / "dovecot.conf"
        self.text = self.CONFIG.format(
            dir=self.directory, imap=self.imap, imaps=self.imaps, lmtp=self.lmtp,
            user=owner.pw_uid, group=owner.pw_gid, fsync=fsync, sync=sync)
        config.write_text(self.text)
        self.launch(["dovecot", "-F", "-c", str(config)])

    def after_filling(self):
        self.stop()
        os.sync()
        self.run("optimized", "always")

    def version(self):
        return version_of("dovecot-imapd")

    def settings(self):
        return {"dovecot.conf": self.text.replace(str(self.directory), "DIR")}


class Hibernating(Dovecot):
    """Dovecot that hands over connections in IDLE to one process for all, after a second."""

    CONFIG = Dovecot.CONFIG + """
imap_hibernate_timeout = 1s
# The defaults: a process ends when its connection was handed over.
service imap {{
  service_count = 1
  process_min_avail = 0
  unix_listener imap-master {{
    mode = 0666
  }}
}}
service imap-hibernate {{
  unix_listener imap-hibernate {{
    mode = 0666
  }}
}}
"""

    def run(self, fsync, sync):
        super().run("optimized", "always")

    def after_filling(self):
        """It fills nothing."""


class Cyrus(Server):
    IMAPD = """
configdirectory: {dir}/lib
partition-default: {dir}/spool
defaultpartition: default
# What need not survive lies in memory, as the documentation advises.
proc_path: {tmpfs}/proc
mboxname_lockpath: {tmpfs}/lock
lmtpsocket: {dir}/lib/socket/lmtp
idlesocket: {dir}/lib/socket/idle
notifysocket: {dir}/lib/socket/notify
admins: cyrus
servername: localhost
allowplaintext: yes
sasl_pwcheck_method: auxprop
sasl_auxprop_plugin: sasldb
sasl_sasldb_path: {dir}/sasldb2
sasl_mech_list: PLAIN
unixhierarchysep: yes
altnamespace: yes
virtdomains: off
autocreate_quota: 0
autocreate_post: yes
expunge_mode: delayed
# Delayed, a mailbox is kept under its name and the second: one that is deleted twice in a second exists already.
delete_mode: immediate
# All messages are to arrive, also those whose Message-ID was seen before.
duplicatesuppression: no
maxlogins_per_host: 0
maxlogins_per_user: 0
tls_server_cert: {dir}/cert.pem
tls_server_key: {dir}/key.pem
"""
    MASTER = """
START {{
  recover cmd="ctl_cyrusdb -C {dir}/imapd.conf -r"
}}
DAEMON {{
  idled cmd="{bin}/idled -C {dir}/imapd.conf"
}}
SERVICES {{
  imap cmd="{bin}/imapd -C {dir}/imapd.conf" listen="127.0.0.1:{imap}" prefork=4 maxchild=-1
  imaps cmd="{bin}/imapd -C {dir}/imapd.conf -s" listen="127.0.0.1:{imaps}" prefork=4 maxchild=-1
  lmtp cmd="lmtpd -C {dir}/imapd.conf -a" listen="127.0.0.1:{lmtp}" prefork=2 maxchild=-1
}}
EVENTS {{
  checkpoint cmd="ctl_cyrusdb -C {dir}/imapd.conf -c" period=30
}}
"""

    def start(self, users):
        install("cyrus-common", "sasl2-bin", "dovecot-imapd")
        # Debian's cyrus-imapd and dovecot-imapd do not stand each other: only its imapd is unpacked.
        unpacked = self.directory / "package"
        unpacked.mkdir()
        subprocess.run(["apt-get", "download", "-qq", "cyrus-imapd"], cwd=unpacked, check=True, stderr=subprocess.DEVNULL)
        subprocess.run(["dpkg-deb", "-x", next(unpacked.glob("*.deb")), unpacked], check=True)
        self.bin = unpacked / "usr" / "lib" / "cyrus" / "bin"
        self.tmpfs = Path(f"/dev/shm/restante-compare-{os.getpid()}")
        owner = pwd.getpwnam("cyrus")
        for path in [self.tmpfs / "proc", self.tmpfs / "lock", self.directory / "spool", self.directory / "lib" / "socket"]:
            path.mkdir(parents=True)
        self.certificate()
        self.text = self.IMAPD.format(dir=self.directory, tmpfs=self.tmpfs)
        self.master = self.MASTER.format(bin=self.bin, dir=self.directory, imap=self.imap, imaps=self.imaps, lmtp=self.lmtp)
        (self.directory / "imapd.conf").write_text(self.text)
        (self.directory / "cyrus.conf").write_text(self.master)
        for user in users:
            subprocess.run(["saslpasswd2", "-p", "-c", "-f", self.directory / "sasldb2", "-u", "localhost", user],
                           input=PASSWORD, text=True, check=True, capture_output=True)
        for top in (self.directory, self.tmpfs):
            for path in [top, *top.rglob("*")]:
                os.chown(path, owner.pw_uid, owner.pw_gid)
        self.launch(["/usr/sbin/cyrmaster", "-C", self.directory / "imapd.conf", "-M", self.directory / "cyrus.conf",
                     "-p", self.directory / "master.pid"])

    def remove(self):
        if hasattr(self, "tmpfs"):
            shutil.rmtree(self.tmpfs, ignore_errors=True)

    def version(self):
        return version_of("cyrus-common")

    def settings(self):
        text = self.text.replace(str(self.directory), "DIR").replace(str(self.tmpfs), "TMPFS")
        return {"imapd.conf": text, "cyrus.conf": self.master.replace(str(self.directory), "DIR")}
