"""URLs of Postgres and Redis: parsers of DATABASE_URL and REDIS_URL.

A password with an unencoded `#`, `/`, `?` or `@` ends up as a host, a port or the name of an option. So no
reason repeats any part of the URL: it says what is wrong and what to write instead.
"""

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

_DATABASE_SCHEMES: Final = ("postgresql", "postgres")
_CLUSTER_SCHEMES: Final = ("redis+cluster", "rediss+cluster")
_TLS_SCHEMES: Final = ("rediss", "rediss+cluster")
_REDIS_SCHEMES: Final = ("redis", "rediss", "unix", *_CLUSTER_SCHEMES)
_DATABASE_FORM: Final = "postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
_REDIS_FORM: Final = "redis://USER:PASSWORD@HOST:PORT/NUMBER"
_SSL_MODES: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_SESSION_ATTRIBUTES: Final = (
    "any", "read-write", "read-only", "primary", "standby", "prefer-standby",
)  # fmt: skip

# Of libpq's options those that asyncpg knows; it would send any other one to the server, which refuses it.
_DATABASE_OPTIONS: Final = frozenset(
    {
        "application_name", "database", "dbname", "gsslib", "host", "krbsrvname", "passfile", "password",
        "port", "service", "ssl_max_protocol_version", "ssl_min_protocol_version", "sslcert", "sslcrl",
        "sslkey", "sslmode", "sslnegotiation", "sslpassword", "sslrootcert", "target_session_attrs", "user",
    }
)  # fmt: skip
# Time limits and pool sizes are the engine's own: an option would replace them.
_REDIS_OPTIONS: Final = frozenset(
    {
        "db", "password", "username", "ssl_ca_certs", "ssl_ca_path", "ssl_cert_reqs", "ssl_certfile",
        "ssl_check_hostname", "ssl_keyfile", "ssl_password",
    }
)  # fmt: skip

_BAD_PERCENT: Final = re.compile("%(?![0-9A-Fa-f]{2})")
_AUTHORITY: Final = re.compile(r"[^/?#]*")
_NUMBER: Final = re.compile(r"[0-9]{1,5}")


class _Parts(NamedTuple):
    """A URL's scheme, the text between `@` and the path, the path, and the options by name."""

    scheme: str
    hosts: str
    path: str
    options: dict[str, str]


def parse_database_url(text: str) -> str:
    """Parse the URL of a Postgres server, or of several that hold the same database."""
    parts = _split(text, _DATABASE_SCHEMES, _DATABASE_FORM)
    if parts.hosts:
        _require_hosts(parts.hosts.split(","), _DATABASE_FORM)
    _require_options(parts.options, _DATABASE_OPTIONS, "Postgres")
    _require_ports(parts.options.get("port"))
    _require_choice(parts.options, "sslmode", _SSL_MODES)
    _require_choice(parts.options, "target_session_attrs", _SESSION_ATTRIBUTES)
    return text


def parse_redis_url(text: str) -> str:
    """Parse the URL of a Redis server, of its unix socket, or of the nodes of a cluster."""
    parts = _split(text, _REDIS_SCHEMES, _REDIS_FORM)
    _require_options(parts.options, _REDIS_OPTIONS, "Redis")
    _require_choice(parts.options, "ssl_cert_reqs", ("none", "optional", "required"))
    if parts.scheme not in _TLS_SCHEMES and any(name.startswith("ssl_") for name in parts.options):
        raise ValueError("has options of TLS: it must start with rediss:// or rediss+cluster://")
    if parts.scheme == "unix":
        if not parts.path.startswith("/") or parts.hosts:
            raise ValueError("must name the socket's whole path: unix:///run/redis/redis.sock")
    else:
        _require_hosts(_redis_hosts(parts), _REDIS_FORM)
        _require_database_number(parts)
    if not _NUMBER.fullmatch(parts.options.get("db", "0")):
        raise ValueError("has an option db that is not a number")
    return text


def _redis_hosts(parts: _Parts) -> list[str]:
    hosts = parts.hosts.split(",")
    if len(hosts) > 1 and parts.scheme not in _CLUSTER_SCHEMES:
        raise ValueError(
            "names several hosts, which only a cluster has: redis+cluster://HOST:PORT,HOST:PORT"
        )
    if not parts.hosts and parts.scheme in _CLUSTER_SCHEMES:
        raise ValueError("must name a node of the cluster: redis+cluster://HOST:PORT")
    return hosts if parts.hosts else []


def _require_database_number(parts: _Parts) -> None:
    number = parts.path.removeprefix("/")
    if number and not _NUMBER.fullmatch(number):
        raise ValueError(f"must end with the number of a database or with nothing: {_REDIS_FORM}")
    number = parts.options.get("db", number)
    if parts.scheme in _CLUSTER_SCHEMES and number not in ("", "0"):
        raise ValueError(
            "names a database, and a cluster has only database 0: remove /NUMBER from its end"
        )


def _split(text: str, schemes: tuple[str, ...], form: str) -> _Parts:
    """Split a URL, once nothing in it can be taken for something else. Raises ValueError."""
    scheme, separator, rest = text.partition("://")
    if not separator or scheme not in schemes:
        starts = " or ".join(f"{name}://" for name in schemes)
        raise ValueError(f"must be a URL that starts with {starts}")
    if not rest.isprintable() or " " in rest:
        raise ValueError(
            "must not have blanks or control characters; in a password, a blank is %20"
        )
    if "#" in rest:
        raise ValueError("has a # that is not encoded: in a user name or password write it as %23")
    if _BAD_PERCENT.search(rest):
        raise ValueError(
            "has a % without two hexadecimal digits: in a user name or password write it as %25"
        )
    authority = _AUTHORITY.match(rest)
    assert authority is not None
    path, _, query = rest[authority.end() :].partition("?")
    user, at, hosts = authority[0].rpartition("@")
    if "@" in user:
        raise ValueError("has an @ that is not encoded: in a user name or password write it as %40")
    if "@" in path or (not at and "@" in query):
        raise ValueError(
            "has a / or ? that is not encoded: in a user name or password write them as %2F and %3F"
        )
    return _Parts(scheme, hosts, path, _options(query, form))


def _options(query: str, form: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for field in query.split("&") if query else ():
        name, separator, value = field.partition("=")
        if not separator or not name or not value:
            raise ValueError(f"has options that are not NAME=VALUE; its form is {form}?NAME=VALUE")
        options[name] = value
    return options


def _require_options(options: Mapping[str, str], allowed: frozenset[str], server: str) -> None:
    if not options.keys() <= allowed:
        raise ValueError(
            f"has an option that cannot be set; those of {server} are {', '.join(sorted(allowed))}"
        )


def _require_choice(options: Mapping[str, str], name: str, choices: tuple[str, ...]) -> None:
    if name in options and options[name] not in choices:
        raise ValueError(f"must have one of {', '.join(choices)} as {name}")


def _require_hosts(hosts: list[str], form: str) -> None:
    for host in hosts:
        name, bracket, port = host.rpartition("]")
        if bracket:
            valid = name.startswith("[") and port[:1] in ("", ":")
            name, port = name[1:], port[1:]
        else:
            name, colon, port = host.partition(":")
            valid = not colon or bool(port)
        if not valid or not name or not _is_host(name):
            raise ValueError(f"has a host that cannot be read; its form is {form}")
        _require_ports(port or None)


def _is_host(name: str) -> bool:
    try:
        name.encode("idna")
    except UnicodeError:
        return False
    return not any(character in name for character in "[]@")


def _require_ports(text: str | None) -> None:
    for port in text.split(",") if text is not None else ():
        if not _NUMBER.fullmatch(port) or not 1 <= int(port) <= 65_535:
            raise ValueError(
                "has a port that is not a number from 1 to 65535; if it is a part of the password, write "
                ": as %3A, / as %2F, ? as %3F, # as %23 and @ as %40"
            )
