"""Building the compiled modules: `python -m api.visits.compiled.build` puts each beside its sources.

hatch_build.py does the same for wheels. Cython makes C of a module's first source, unless the C came with
the sources, as in a source distribution; then a C compiler makes the module. A module keeps a digest of its
sources, so that one that was built from others is not used. Only the standard library is imported, as
hatch_build.py loads this file by its path.
"""

import hashlib
import importlib
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parents[3]
LIMIT_S: Final = 600
_FLAGS: Final = (
    "-O3", "-fPIC", "-shared", "-std=gnu11", "-fwrapv", "-fvisibility=hidden", "-DNDEBUG", "-D_GNU_SOURCE",
)  # fmt: skip


class BuildError(Exception):
    """A module cannot be built: something is missing, or the compiler failed."""


class CompiledModule(NamedTuple):
    """A module in `folder` below the root of the sources, made of `sources`, the Cython file first."""

    folder: str
    sources: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.sources[0].removesuffix(".pyx")

    @property
    def dotted(self) -> str:
        """Return the name by which it is imported."""
        return f"{self.folder.replace('/', '.')}.{self.name}"

    @property
    def path(self) -> Path:
        """Return the folder of the sources."""
        return ROOT / self.folder

    @property
    def generated(self) -> str:
        """Return the name of the C file."""
        return f"{self.name}.c"

    @property
    def file(self) -> str:
        """Return the name of the module's file for this Python."""
        return f"{self.name}{sysconfig.get_config_var('EXT_SUFFIX')}"

    def digest(self, folder: Path | None = None) -> str:
        """Return a digest of the sources in a folder; empty if they are not there."""
        folder = folder or self.path
        try:
            parts = [(folder / name).read_bytes() for name in self.sources]
        except FileNotFoundError:
            return ""
        return hashlib.sha256(b"\0".join(parts)).hexdigest()

    def problem(self) -> str:
        """Return why it cannot be used, empty if it can."""
        try:
            sources = importlib.import_module(self.dotted).SOURCES
        except ImportError as error:
            return f"it was not built ({error})"
        return "" if self.digest() in ("", sources) else "it was built from other sources"

    def build(self, to: Path | None = None) -> Path:
        """Build the module into a folder and return its path. Raises BuildError."""
        compiler = _compiler()
        with tempfile.TemporaryDirectory(prefix="waypost-core-") as work:
            source = self.path / self.generated
            if not source.exists():
                source = self.generate(Path(work))
            module = Path(work) / self.file
            include = sysconfig.get_path("include")
            digest = f'-DWAYPOST_SOURCES="{self.digest()}"'
            flags = (*_FLAGS, digest, f"-I{include}", f"-I{self.path}")
            _run([*compiler, *flags, str(source), "-o", str(module)])
            # In one step: a running process keeps the file that it has mapped.
            target = (to or self.path) / module.name
            part = target.with_suffix(".part")
            shutil.copyfile(module, part)
            part.replace(target)
        return target

    def generate(self, to: Path) -> Path:
        """Make C of the Cython file in a folder and return its path. Raises BuildError."""
        try:
            import Cython
        except ImportError:
            raise BuildError("Cython is not installed") from None
        del Cython
        path = to / self.generated
        source = self.path / self.sources[0]
        _run([sys.executable, "-m", "cython", "-3", str(source), "-o", str(path)])
        return path


VISITOR_CORE: Final = CompiledModule(
    "api/visits/compiled",
    (
        "core.pyx", "pages.pxi", "known.pxi", "head.h", "query.h", "blake2b.h",
        "record.h", "frame.h", "slots.h",
        "known.h",
    ),
)  # fmt: skip
FOLD_ROWS: Final = CompiledModule("engine/clicks/compiled", ("fold_rows.pyx", "frames.h"))
PACKER: Final = CompiledModule("engine/stats/packed/compiled", ("packer.pyx",))
MODULES: Final = (VISITOR_CORE, FOLD_ROWS, PACKER)


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
    """Build all modules in place, or say in one line why that is not possible."""
    for module in MODULES:
        try:
            path = module.build()
        except BuildError as error:
            sys.exit(f"the compiled {module.name} was not built: {error}")
        sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main()
