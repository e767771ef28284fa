"""Building the core: what is missing is said in one line."""

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
        build.build(tmp_path)
    monkeypatch.setenv("CC", sys.executable)
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path))
    with pytest.raises(build.BuildError, match=r"Python\.h"):
        build.build(tmp_path)


def test_what_the_compiler_says_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / build.GENERATED).write_text("generated C")
    compiler = tmp_path / "cc"
    compiler.write_text("#!/bin/sh\necho 'core.c:1: no such thing' >&2\nexit 1\n")
    compiler.chmod(0o755)
    monkeypatch.setattr(build, "FOLDER", tmp_path)
    monkeypatch.setenv("CC", str(compiler))
    with pytest.raises(build.BuildError, match=r"failed: core\.c:1: no such thing"):
        build.build(tmp_path)
    assert not (tmp_path / build.module_name()).exists()


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


def test_the_digest_is_of_every_source(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert build.digest(tmp_path) == ""
    digests = {build.digest()}
    for name in build.SOURCES:
        for copied in build.SOURCES:
            (tmp_path / copied).write_bytes((build.FOLDER / copied).read_bytes())
        assert build.digest(tmp_path) == build.digest()
        with (tmp_path / name).open("ab") as file:
            file.write(b"\n")
        digests.add(build.digest(tmp_path))
    assert len(digests) == len(build.SOURCES) + 1
