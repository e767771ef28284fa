"""What figures were measured on: they mean nothing without it."""

import os
import platform
import re
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bench.load import nginx, wrk
from bench.load.processes import Placement


def machine(placement: Placement) -> dict[str, Any]:
    """`cores` are those we may use; `pinned` says which core did what."""
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "pinned": {
            "server": placement.server,
            "client": placement.client,
            "rest": sorted(placement.rest),
        },
        "kernel": platform.release(),
        "python": platform.python_version(),
        "versions": {
            "waypost": _package("waypost"),
            **{name: _package(name) for name in ("uvloop", "httptools", "trio")},
            "wrk": _said([wrk.find(), "-v"], r"wrk \S*?([0-9][0-9.]+)"),
            "nginx": _said([nginx.find(), "-v"], r"nginx/([0-9.]+)"),
        },
    }


def _cpu() -> str:
    found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else platform.machine()


def _package(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "source"


def _said(command: list[str], pattern: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    found = re.search(pattern, done.stdout + done.stderr)
    return found[1] if found else "unknown"
