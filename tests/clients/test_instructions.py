"""Instructions that decoding commands and encoding responses take, counted by callgrind: a figure
that a busy machine does not change. None may grow by more than a tenth over instructions.tsv.

    RESTANTE_COUNTS=write pytest tests/clients/test_instructions.py     writes the file anew
"""

import os
import pathlib
import platform
import re
import subprocess

import pytest

from conftest import ROOT

BASELINE = pathlib.Path(__file__).with_name("instructions.tsv")
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
KINDS = ["short commands", "header fetches", "stores", "long sets", "long searches", "encode FETCH"]


@pytest.fixture(scope="module")
def rate():
    subprocess.run(["cargo", "build", "-q", "--release", "-p", "restante-proto", "--example", "rate"], cwd=ROOT, check=True)
    return TARGET / "release" / "examples" / "rate"


def instructions(rate, kind, times):
    done = subprocess.run(
        ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", rate, "--once", kind, str(times)],
        capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return int(re.search(r"Collected : (\d+)", done.stderr).group(1))


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the baseline is of x86_64")
def test_instructions_do_not_grow(rate):
    # The difference is what one more round takes, without the start of the process.
    counted = {kind: instructions(rate, kind, 2) - instructions(rate, kind, 1) for kind in KINDS}
    if os.environ.get("RESTANTE_COUNTS") == "write":
        BASELINE.write_text("".join(f"{kind}\t{count}\n" for kind, count in counted.items()))
        return
    baseline = dict(line.split("\t") for line in BASELINE.read_text().splitlines())
    print(*(f"{kind}: {count}, baseline {baseline.get(kind)}" for kind, count in counted.items()), sep="\n")
    grown = [f"{kind}: {count} instructions, {baseline.get(kind)} before"
             for kind, count in counted.items() if count * 10 > int(baseline.get(kind, 0)) * 11]
    assert not grown, "\n".join(grown)
