"""Programs in C beside this file, compiled when a benchmark starts."""

import shutil
import subprocess
from pathlib import Path
from typing import Final

from bench.kit.errors import BenchError

LIMIT_S: Final = 60.0
_FOLDER: Final = Path(__file__).parent


def compiler() -> str | None:
    """Return the path of the C compiler, None if there is none."""
    return shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


def build(name: str, folder: Path) -> Path:
    """Compile the program into the folder. Returns its path. Raises BenchError, also without a compiler."""
    cc = compiler()
    if cc is None:
        raise BenchError("there is no C compiler: apt-get install gcc libc6-dev")
    program = folder / name
    command = [cc, "-O2", "-o", str(program), str(_FOLDER / f"{name}.c")]
    process = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S)
    if process.returncode != 0:
        raise BenchError(f"{name}.c was not compiled: {process.stderr.strip()[-300:]}")
    return program
