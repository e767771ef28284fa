"""CPU time of processes, some of which end meanwhile."""

import os
import subprocess
import sys

from bench.load.processes import cpu_s_of

BUSY = "import time; end = time.process_time() + .15\nwhile time.process_time() < end: pass"


def test_a_process_that_has_ended_counts_at_its_parent() -> None:
    before = cpu_s_of([os.getpid()])
    child = subprocess.Popen([sys.executable, "-S", "-c", BUSY])
    child.wait()
    assert cpu_s_of([os.getpid(), child.pid]) >= before + 0.1
