"""Description of the machine and versions of a measurement."""

import os
import platform
import re
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bench.load import wrk
from bench.load.processes import Placement
from bench.servers import c_programs, haproxy, nginx


def machine(placement: Placement) -> dict[str, Any]:
    """Return the machine for a result. `cores` counts the cores of this process; `pinned` has their roles."""
    return {
        "cpu": cpu_name(),
        "cores": len(os.sched_getaffinity(0)),
        "pinned": {
            "server": placement.server,
            "client": placement.client,
            "rest": sorted(placement.rest),
        },
        "kernel": platform.release(),
        "python": platform.python_version(),
        "versions": {
            "waypost": package_version("waypost"),
            **{name: package_version(name) for name in ("uvloop", "httptools", "trio")},
            "wrk": _version_of([wrk.find(), "-v"], r"wrk \S*?([0-9][0-9.]+)"),
            "nginx": _version_of([nginx.find(), "-v"], r"nginx/([0-9.]+)"),
            **_versions_if_installed(),
        },
    }


def _versions_if_installed() -> dict[str, str]:
    versions = {}
    if path := haproxy.find():
        versions["haproxy"] = _version_of([path, "-v"], r"version ([0-9][0-9.]*)")
    if path := c_programs.compiler():
        versions["cc"] = _version_of([path, "--version"], r"^(.*[0-9][0-9.]*.*)$")
    return versions


def cpu_name() -> str:
    match = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return match[1] if match else platform.machine()


def package_version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "source"


def _version_of(command: list[str], pattern: str) -> str:
    process = subprocess.run(command, capture_output=True, text=True, timeout=10)
    match = re.search(pattern, process.stdout + process.stderr, re.MULTILINE)
    return match[1] if match else "unknown"
