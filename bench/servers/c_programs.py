"""Programs in C, compiled when a benchmark starts."""

import shutil
import subprocess
from pathlib import Path
from typing import Final

from bench.kit.errors import BenchError

LIMIT_S: Final = 60.0


def compiler() -> str | None:
    """Return the path of the C compiler, None if there is none."""
    return shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


def build(source: Path, folder: Path) -> Path:
    """Compile a program into the folder. Returns its path. Raises BenchError, also without a compiler."""
    cc = compiler()
    if cc is None:
        raise BenchError("there is no C compiler: apt-get install gcc libc6-dev")
    program = folder / source.stem
    command = [cc, "-O2", "-o", str(program), str(source)]
    process = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S)
    if process.returncode != 0:
        lines = process.stderr.splitlines()
        reason = next((line for line in lines if "error" in line), process.stderr.strip())
        raise BenchError(f"{source.name} was not compiled: {reason[-300:]}")
    return program
