"""The comparison with Dovecot and Cyrus, in short: it fails on wrong answers of ours (exit code 3 says
that only others failed), never on times. Its ratios are printed (pytest -s)."""

import os
import subprocess

import pytest

from conftest import BINARY, ROOT


@pytest.mark.skipif(os.geteuid() != 0, reason="Dovecot and Cyrus need root")
def test_restante_answers_rightly_beside_the_others():
    done = subprocess.run(
        [ROOT / "benches" / "compare", "--quick", "--restante", BINARY], capture_output=True, text=True, timeout=900)
    print(done.stdout)
    assert done.returncode in (0, 3), done.stdout[-3000:] + done.stderr[-3000:]
