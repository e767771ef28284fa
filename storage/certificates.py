"""Certificate files that DATABASE_URL and REDIS_URL name, checked before anything connects.

A driver that finds none reports `No such file or directory` without a name, at each attempt.
"""

import ssl
from collections.abc import Iterable
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

from engine.common.errors import SettingsError
from engine.operations.settings import Settings

_ROOTS: Final = ("sslrootcert", "ssl_ca_certs")
_OTHERS: Final = ("sslcert", "sslkey", "sslcrl", "passfile", "ssl_certfile", "ssl_keyfile")
_VERIFYING: Final = ("verify-ca", "verify-full")


def require_certificates(settings: Settings) -> None:
    """Read every file that a URL names. Raises SettingsError with the first that cannot be used."""
    for variable, url in (
        ("DATABASE_URL", settings.database_url),
        ("WAYPOST_DATABASE_DIRECT_URL", settings.database_direct_url),
        ("REDIS_URL", settings.redis_url),
    ):
        options = {name: values[-1] for name, values in parse_qs(urlsplit(url).query).items()}
        if options.get("sslmode") in _VERIFYING and "sslrootcert" not in options:
            _require_default_root(variable, options["sslmode"])
        _require_readable(variable, {n: options[n] for n in (*_ROOTS, *_OTHERS) if n in options})
        _require_roots(variable, (options[name] for name in _ROOTS if name in options))


def _require_default_root(variable: str, mode: str) -> None:
    default = Path("~/.postgresql/root.crt").expanduser()
    if not default.is_file():
        raise SettingsError(
            f"{variable} has sslmode={mode} and no root certificate: add sslrootcert=FILE, or put it at "
            f"{default}"
        )


def _require_readable(variable: str, files: dict[str, str]) -> None:
    for option, name in files.items():
        try:
            with Path(name).open("rb"):
                pass
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "no valid path"
            raise SettingsError(
                f"{variable} names {name} as {option}, which cannot be read: {reason.lower()}"
            ) from None


def _require_roots(variable: str, names: Iterable[str]) -> None:
    for name in names:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(name)
        except (OSError, ValueError):
            raise SettingsError(
                f"{variable} names {name} as root certificate, which has none in PEM format"
            ) from None
