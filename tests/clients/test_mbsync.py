"""mbsync (isync): two Maildirs kept in step through the server."""

import pathlib
import re
import subprocess

from conftest import message

RC = """
IMAPAccount restante
Host localhost
Port {port}
User {user}
Pass secret
SSLType IMAPS
CertificateFile {certificate}

IMAPStore remote
Account restante

MaildirStore local
Path {home}/mail/
Inbox {home}/mail/INBOX
SubFolders Verbatim

Channel all
Far :remote:
Near :local:
Patterns *
Create Both
Expunge Both
Remove Both
SyncState *
"""


class Device:
    def __init__(self, server, user, home):
        self.home = home
        (home / "mail").mkdir(parents=True)
        self.rc = home / "mbsyncrc"
        self.rc.write_text(RC.format(port=server.imaps, user=user, certificate=server.certificate, home=home))

    def sync(self):
        done = subprocess.run(["mbsync", "-c", self.rc, "all"], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr

    def files(self, mailbox="INBOX"):
        return [f for d in ("cur", "new") for f in sorted((self.home / "mail" / mailbox / d).glob("*"))]

    def write(self, name, raw, mailbox="INBOX", flags="S"):
        for d in ("cur", "new", "tmp"):
            (self.home / "mail" / mailbox / d).mkdir(parents=True, exist_ok=True)
        (self.home / "mail" / mailbox / "cur" / f"{name}:2,{flags}").write_bytes(raw.replace(b"\r\n", b"\n"))


def subjects(device, mailbox="INBOX"):
    return sorted(re.search(rb"^Subject: (.*)$", f.read_bytes(), re.M).group(1) for f in device.files(mailbox))


def test_two_devices_stay_in_step(server, user, tmp_path):
    phone, laptop = Device(server, user, tmp_path / "phone"), Device(server, user, tmp_path / "laptop")
    for n in range(200):
        phone.write(f"1700000000.{n}.phone", message(f"mail {n}"))
    phone.write("1700000000.a.phone", message("filed"), mailbox="Projects")
    phone.sync()
    laptop.sync()
    assert len(laptop.files()) == 200 and subjects(laptop, "Projects") == [b"filed"]

    first = laptop.files()[0]
    first.rename(first.with_name(re.sub(r":2,\w*", ":2,FS", first.name)))
    laptop.files()[5].unlink()
    laptop.sync()
    phone.sync()
    assert len(phone.files()) == 199
    assert sum("F" in pathlib.Path(f).name.split(":2,")[1] for f in phone.files()) == 1
