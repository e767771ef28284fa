"""Building the compiled modules: what is missing is said in one line."""

import subprocess
import sys
from pathlib import Path

import pytest

from api.visits.compiled import build


def test_a_missing_compiler_or_missing_headers_are_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CC", "no-such-compiler --flag")
    with pytest.raises(build.BuildError, match=r"no C compiler \(no-such-compiler\)"):
        build.VISITOR_CORE.build(tmp_path)
    monkeypatch.setenv("CC", sys.executable)
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path))
    with pytest.raises(build.BuildError, match=r"Python\.h"):
        build.VISITOR_CORE.build(tmp_path)


def test_what_the_compiler_says_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    module = build.FOLD_ROWS
    (tmp_path / module.folder).mkdir(parents=True)
    (tmp_path / module.folder / module.generated).write_text("generated C")
    compiler = tmp_path / "cc"
    compiler.write_text("#!/bin/sh\necho 'core.c:1: no such thing' >&2\nexit 1\n")
    compiler.chmod(0o755)
    monkeypatch.setattr(build, "ROOT", tmp_path)
    monkeypatch.setenv("CC", str(compiler))
    with pytest.raises(build.BuildError, match=r"failed: core\.c:1: no such thing"):
        module.build(tmp_path)
    assert not (tmp_path / module.file).exists()


def test_the_command_says_it_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    done = subprocess.run(
        [sys.executable, "-m", "api.visits.compiled.build"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == (
        "the compiled core was not built: there is no C compiler (no-such-compiler)\n"
    )


@pytest.mark.parametrize("module", build.MODULES, ids=lambda module: module.name)
def test_the_digest_is_of_every_source(module: build.CompiledModule, tmp_path: Path) -> None:
    assert module.digest(tmp_path) == ""
    digests = {module.digest()}
    for name in module.sources:
        for copied in module.sources:
            (tmp_path / copied).write_bytes((module.path / copied).read_bytes())
        assert module.digest(tmp_path) == module.digest()
        with (tmp_path / name).open("ab") as file:
            file.write(b"\n")
        digests.add(module.digest(tmp_path))
    assert len(digests) == len(module.sources) + 1


@pytest.mark.parametrize("module", build.MODULES, ids=lambda module: module.name)
def test_every_file_beside_a_module_is_in_its_digest(module: build.CompiledModule) -> None:
    files = {p.name for p in module.path.iterdir() if p.suffix in {".pyx", ".pxi", ".h"}}
    assert files == set(module.sources)
