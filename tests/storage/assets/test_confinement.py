"""What a confined process can do: compute, and nothing else."""

import subprocess
import sys

import pytest

from tests.architecture.sources import ROOT

pytestmark = pytest.mark.slow
ATTEMPTS = (
    "open('/etc/passwd')", "_socket.socket()", "os.fork()", "os.execv('/bin/true', ['true'])",
    "os.kill(os.getppid(), 0)", "os.close(0); os.open('/etc/passwd', 0)", "os.write(3, bytes(2 << 20))",
)  # fmt: skip
PROGRAM = """
import _socket, os, signal, sys
from storage.assets.confinement import Limits, confine
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
assert confine(Limits(1 << 30, 5, 1 << 20))
for attempt in sys.argv[1:]:
    try:
        exec(attempt)
    except OSError:
        os.write(1, b"refused,")
    else:
        os.write(1, b"done,")
"""


def test_a_confined_process_can_do_nothing_but_compute() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *ATTEMPTS],
        capture_output=True,
        timeout=30,
        cwd=ROOT,
        check=True,
    )
    assert done.stdout == b"refused," * len(ATTEMPTS)
