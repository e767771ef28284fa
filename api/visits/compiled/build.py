"""Building the compiled core: `python -m api.visits.compiled.build` puts it beside this file.

hatch_build.py does the same for wheels. Cython makes C of core.pyx, unless core.c came with the sources, as in
a source distribution; then a C compiler makes the module. The module keeps a digest of its sources, so that
one that was built from others is not used.
"""

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).resolve().parent
SOURCES: Final = ("core.pyx", "pages.pxi", "head.h", "query.h", "blake2b.h", "record.h")
GENERATED: Final = "core.c"
LIMIT_S: Final = 600
_FLAGS: Final = (
    "-O3", "-fPIC", "-shared", "-std=gnu11", "-fwrapv", "-fvisibility=hidden", "-DNDEBUG", "-D_GNU_SOURCE",
)  # fmt: skip


class BuildError(Exception):
    """The core cannot be built: something is missing, or the compiler failed."""


def module_name() -> str:
    """Return the name of the module's file for this Python."""
    return f"core{sysconfig.get_config_var('EXT_SUFFIX')}"


def digest(folder: Path = FOLDER) -> str:
    """Return a digest of the sources in a folder; empty if they are not there."""
    try:
        return hashlib.sha256(b"\0".join((folder / n).read_bytes() for n in SOURCES)).hexdigest()
    except FileNotFoundError:
        return ""


def build(to: Path = FOLDER) -> Path:
    """Build the module into a folder and return its path. Raises BuildError."""
    compiler = _compiler()
    with tempfile.TemporaryDirectory(prefix="waypost-core-") as work:
        source = FOLDER / GENERATED
        if not source.exists():
            source = generate(Path(work))
        module = Path(work) / module_name()
        include = sysconfig.get_path("include")
        flags = (*_FLAGS, f'-DWAYPOST_SOURCES="{digest()}"', f"-I{include}", f"-I{FOLDER}")
        _run([*compiler, *flags, str(source), "-o", str(module)])
        # In one step: a running edge keeps the file that it has mapped.
        target = to / module.name
        part = target.with_suffix(".part")
        shutil.copyfile(module, part)
        part.replace(target)
    return target


def generate(to: Path) -> Path:
    """Make C of core.pyx in a folder and return its path. Raises BuildError."""
    try:
        import Cython
    except ImportError:
        raise BuildError("Cython is not installed") from None
    del Cython
    path = to / GENERATED
    _run([sys.executable, "-m", "cython", "-3", str(FOLDER / "core.pyx"), "-o", str(path)])
    return path


def _compiler() -> list[str]:
    """Return the command of the C compiler. Raises BuildError if it or Python's headers are missing."""
    command = shlex.split(os.environ.get("CC", "")) or ["cc"]
    if shutil.which(command[0]) is None:
        raise BuildError(f"there is no C compiler ({command[0]})")
    if not Path(sysconfig.get_path("include"), "Python.h").is_file():
        raise BuildError("the headers of Python are missing (Python.h)")
    return command


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildError(f"{command[0]} did not run: {error}") from None
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
        raise BuildError(f"{command[0]} failed: {lines[0]}")


def main() -> None:
    """Build the core in place, or say in one line why that is not possible."""
    try:
        path = build()
    except BuildError as error:
        sys.exit(f"the compiled core was not built: {error}")
    sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main()
