"""Clients of the web world, driven in their own languages: Roundcube's protocol class, ImapFlow, Ruby's net-imap."""

import os
import pathlib
import subprocess

HERE = pathlib.Path(__file__).resolve().parent
NODE = HERE.parents[1] / "target" / "node"


def drive(*command, **environment):
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL,
                          env=dict(os.environ, LC_ALL="C.UTF-8", **environment))
    assert done.returncode == 0 and done.stdout.endswith("done\n"), done.stdout + done.stderr


def test_roundcube(server, user):
    drive("php", "-d", "error_reporting=E_ERROR", HERE / "roundcube.php", str(server.imaps), user, server.certificate)


def test_imapflow(server, user):
    drive("node", HERE / "imapflow.mjs", str(server.imaps), user, server.certificate,
          NODE_MODULES_OF=str(NODE / "package.json"))


def test_ruby(server, user):
    drive("ruby", HERE / "netimap.rb", str(server.imaps), user, server.certificate)
