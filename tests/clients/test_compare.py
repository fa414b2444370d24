"""The comparison with Dovecot and Cyrus, in short: it fails on wrong answers, never on times. Its
ratios are printed (pytest -s)."""

import os
import subprocess

import pytest

from conftest import BINARY, ROOT


@pytest.mark.skipif(os.geteuid() != 0, reason="Dovecot and Cyrus need root")
def test_everybody_answers_rightly():
    done = subprocess.run(
        [ROOT / "benches" / "compare", "--quick", "--restante", BINARY], capture_output=True, text=True, timeout=300)
    print(done.stdout)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
