"""Environment of a measurement: the machine, the versions and the commit."""

import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from bench.suite.machine import cpu_name, package_version
from bench.suite.result import Host

_ROOT: Final = Path(__file__).resolve().parents[2]
PACKAGES: Final = ("waypost", "uvloop", "httptools", "trio")


def host(facts: Mapping[str, Any]) -> Host:
    """Return the machine. `facts` is what a benchmark says of it: versions of its peers among others."""
    versions = {name: package_version(name) for name in PACKAGES}
    versions |= {str(name): str(text) for name, text in dict(facts.get("versions", {})).items()}
    return Host(
        cpu=cpu_name()[:200] or "unknown",
        cores=len(os.sched_getaffinity(0)),
        memory_mb=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 1_000_000,
        kernel=platform.release(),
        python=platform.python_version(),
        versions=versions,
    )


def commit() -> str:
    """Return the commit of the sources, "+" behind it when files differ; empty outside of a repository."""
    try:
        head = _git("rev-parse", "--short=12", "HEAD")
        return head + ("+" if _git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return ""


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(_ROOT), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    return done.stdout.strip()
