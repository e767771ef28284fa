"""DATABASE_URL and REDIS_URL: malformed ones get one line that says what to do and repeats nothing of them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.common.errors import SettingsError
from engine.operations.settings import Settings, read

DATABASE = "postgresql://ada:sesame@db.example:5432/waypost"
REDIS = "redis://:sesame@cache.example:6379/3"

MALFORMED_DATABASES = {
    "postgresql://ada:se#same@h/db": "%23",
    "postgresql://ada:se/same@h/db": "%2F",
    "postgresql://ada:12/sesame@h/db": "%2F",
    "postgresql://ada:se?same@h/db": "%3F",
    "postgresql://ada:12?same@h/db": "%3F",
    "postgresql://ada:se?sa=me@h/db": "%3F",
    "postgresql://ada:se@same@h/db": "%40",
    "postgresql://ada:se%same@h/db": "%25",
    "postgresql://ada:se same@h/db": "%20",
    "postgresql://ada:sesame@h:port/db": "a port that is not a number",
    "postgresql://ada:sesame@h:99999/db": "a port that is not a number",
    "postgresql://ada:sesame@h:0/db": "a port that is not a number",
    f"postgresql://ada:sesame@h:{'9' * 5000}/db": "a port that is not a number",
    "postgresql://ada:sesame@h/db?port=x": "a port that is not a number",
    "postgresql://ada:sesame@h,i:x/db": "a port that is not a number",
    "postgresql://ada:sesame@[::1/db": "a host that cannot be read",
    "postgresql://ada:sesame@h..i/db": "a host that cannot be read",
    f"postgresql://ada:sesame@{'h' * 300}/db": "a host that cannot be read",
    "postgresql://ada:sesame@h:/db": "a host that cannot be read",
    "postgresql://ada:sesame@h/db?sslmode=on": "as sslmode",
    "postgresql://ada:sesame@h/db?target_session_attrs=x": "as target_session_attrs",
    "postgresql://ada:sesame@h/db?channel_binding=require": "an option that cannot be set",
    "postgresql://ada:sesame@h/db?sslmode": "NAME=VALUE",
    "mysql://ada:sesame@h/db": "starts with postgresql://",
    "ada:sesame@h/db": "starts with postgresql://",
    "postgresql:ada:sesame@h/db": "starts with postgresql://",
}
MALFORMED_REDISES = {
    "redis://ada:se#same@h": "%23",
    "redis://:se/same@h": "%2F",
    "redis://:se?same@h": "%3F",
    "redis://:se@same@h": "%40",
    "redis://:sesame@h:port": "a port that is not a number",
    "redis://:sesame@h/x": "number of a database",
    "redis://:sesame@h/-3": "number of a database",
    "redis://:sesame@h?db=x": "an option db",
    "redis://:sesame@h?socket_timeout=60": "an option that cannot be set",
    "redis://:sesame@h?ssl_ca_certs=/x": "rediss://",
    "rediss://:sesame@h?ssl_cert_reqs=x": "as ssl_cert_reqs",
    "redis://:sesame@h:1,i:2": "redis+cluster://",
    "redis+cluster://:sesame@h:1/3": "only database 0",
    "redis+cluster://:sesame@h:1,i:2?db=3": "only database 0",
    "redis+cluster://:sesame@": "a node of the cluster",
    "unix://:sesame@run/redis.sock": "the socket's whole path",
    "http://:sesame@h": "starts with redis://",
    "rediss+cluster://:sesame@[::1": "a host that cannot be read",
}


@pytest.mark.parametrize(
    "database",
    [
        DATABASE,
        "postgres://ada@h",
        "postgresql:///waypost?host=/run/postgresql&port=5432",
        "postgresql://ada:p%40ss%23w%25rd@[::1]:5432,standby/db?target_session_attrs=read-write",
        "postgresql://ada:sesame@h/db?sslmode=verify-full&sslrootcert=/etc/ca.pem",
    ],
)
@pytest.mark.parametrize(
    "redis",
    [
        REDIS,
        "rediss://ada:p%40ss@h?ssl_ca_certs=/etc/ca.pem",
        "unix:///run/redis.sock?db=2",
        "redis+cluster://:p%2Fss@a:1,b:2,[::1]:3",
        "rediss+cluster://h/0",
    ],
)
def test_a_url_of_a_server_is_kept_as_it_is(database: str, redis: str) -> None:
    settings = read({"DATABASE_URL": database, "REDIS_URL": redis})
    assert (settings.database_url, settings.redis_url) == (database, redis)
    assert "sesame" not in repr(settings)


@pytest.mark.parametrize(
    ("variable", "url", "advice"),
    [
        *(("DATABASE_URL", url, advice) for url, advice in MALFORMED_DATABASES.items()),
        *(("REDIS_URL", url, advice) for url, advice in MALFORMED_REDISES.items()),
    ],
)
def test_a_malformed_url_gets_one_line_without_any_part_of_it(
    variable: str, url: str, advice: str
) -> None:
    environment = {"DATABASE_URL": DATABASE, "REDIS_URL": REDIS} | {variable: url}
    with pytest.raises(SettingsError) as refused:
        read(environment)
    line = str(refused.value)
    assert line.startswith(f"{variable} ")
    assert advice in line
    assert "\n" not in line
    secrets = [part for part in re.split(r"\W+", url) if len(part) > 1]
    public = {"postgresql", "redis", "rediss", "cluster", "sslmode", "target_session_attrs", "db",
              "port", "unix", "ssl_ca_certs", "ssl_cert_reqs", "redis.sock", "run", "sock"}  # fmt: skip
    assert not [part for part in set(secrets) - public if re.search(rf"\b{part}\b", line)]


@given(st.sampled_from(["postgresql://", "redis://", "redis+cluster://", "unix://"]), st.text())
def test_whatever_follows_the_scheme_is_a_url_or_one_line(scheme: str, rest: str) -> None:
    variable = "DATABASE_URL" if scheme == "postgresql://" else "REDIS_URL"
    environment = {"DATABASE_URL": DATABASE, "REDIS_URL": REDIS} | {variable: scheme + rest}
    line = ""
    try:
        assert isinstance(read(environment), Settings)
    except SettingsError as refused:
        line = str(refused)
    assert "\n" not in line


@pytest.mark.parametrize("variable", ["WAYPOST_VISITORS_URL", "WAYPOST_GITHUB_URL"])
@pytest.mark.parametrize("rest", ["ada:sesame@h", "ada:sesame/x@h", "ada:sesame#x@h"])
def test_a_url_of_another_setting_is_not_repeated_if_it_may_hold_a_password(
    variable: str, rest: str
) -> None:
    with pytest.raises(SettingsError, match=variable) as refused:
        read({variable: f"https://{rest}"})
    assert "sesame" not in str(refused.value)
