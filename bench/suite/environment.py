"""Environment of a measurement: the machine, the versions and the commit."""

import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from bench.suite.machine import cpu_name, package_version
from bench.suite.result import Host
from engine.common.errors import SettingsError

_ROOT: Final = Path(__file__).resolve().parents[2]
PACKAGES: Final = ("waypost", "uvloop", "httptools", "trio")


def host(facts: Mapping[str, Any]) -> Host:
    """Return the machine. `facts` is what a benchmark says of it: versions of its peers among others."""
    versions = {name: package_version(name) for name in PACKAGES} | cores()
    versions |= {str(name): str(text) for name, text in dict(facts.get("versions", {})).items()}
    return Host(
        cpu=cpu_name()[:200] or "unknown",
        cores=len(os.sched_getaffinity(0)),
        memory_mb=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 1_000_000,
        kernel=platform.release(),
        python=platform.python_version(),
        versions=versions,
    )


def cores() -> dict[str, str]:
    """Return what an engine of a benchmark runs as: compiled code or Python, for visits and for folds."""
    # Half a second, which a command that is refused does not take.
    from api.processes.fold_selection import select_fold
    from api.visits.compiled.selection import AUTO, select_server
    from bench.load.engine_process import CORE

    try:
        visits = select_server(os.environ.get(CORE, AUTO)).core
    except SettingsError:
        visits = "compiled, which cannot be used"
    return {"code of visits": visits, "code of folds": select_fold(AUTO).core}


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
