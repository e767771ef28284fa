"""Facts of real servers, as an inspection reads them."""

import secrets
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
import redis

from engine.operations.server_conditions import postgres_conditions, redis_conditions
from storage.operations.inspection import postgres_facts, redis_facts
from tests.kit.hosted import hosted_run

pytestmark = pytest.mark.trio(run=hosted_run)


async def test_the_facts_of_postgres(database_url: str) -> None:
    facts = await postgres_facts(database_url)
    assert facts.major >= 15
    assert facts.encoding == "UTF8"
    assert (facts.standby, facts.read_only, facts.fsync) == (False, False, False)
    assert facts.usable_connections > 50
    assert facts.collation == facts.collation_now
    assert abs(facts.skew_s) < 1
    conditions = postgres_conditions(facts, needed_connections=24)
    assert not any(condition.fails for condition in conditions)
    assert "fsync is off" in conditions[0].text


async def test_a_database_that_is_read_only_is_noticed(database_url: str) -> None:
    separator = "&" if urlsplit(database_url).query else "?"
    facts = await postgres_facts(f"{database_url}{separator}default_transaction_read_only=on")
    (condition,) = [c for c in postgres_conditions(facts, 1) if c.fails]
    assert condition.text.startswith("is read-only")


async def test_the_facts_of_redis_leave_nothing_behind(redis_url: str) -> None:
    facts = await redis_facts(redis_url)
    assert facts.name in ("Redis", "Valkey")
    assert (facts.replica, facts.refusals) == (False, ())
    assert redis_conditions(facts) == []
    with redis.Redis.from_url(redis_url) as client:
        assert client.keys("*") == []


@pytest.fixture
def limited_user(redis_url: str) -> Iterator[tuple[redis.Redis, str]]:
    """A client of the server's own user, and the name of a user without a command."""
    name = f"limited-{secrets.token_hex(4)}"
    with redis.Redis.from_url(redis_url) as client:
        change_user(client, name, "on", ">sesame", "+@all", "~*", "&*")
        yield client, name
        client.acl_deluser(name)


@pytest.mark.parametrize(
    ("rule", "use"),
    [
        ("-xadd", "clicks of edges"),
        ("-eval -evalsha", "clicks of edges"),
        ("-xread", "reading of clicks"),
        ("-xtrim", "trimming of clicks"),
        ("-del", "deletion of clicks"),
        ("-publish", "announcements of changes"),
        ("resetchannels", "announcements of changes"),
        ("resetkeys ~other:*", "clicks of edges"),
    ],
)
async def test_a_command_that_an_acl_refuses_is_named(
    redis_url: str, limited_user: tuple[redis.Redis, str], rule: str, use: str
) -> None:
    client, name = limited_user
    change_user(client, name, *rule.split())
    facts = await redis_facts(with_user(redis_url, name))
    assert any(refusal.startswith(use) for refusal in facts.refusals), facts.refusals
    client.flushall()


async def test_a_server_that_tells_nothing_about_itself_is_taken_as_it_is(
    redis_url: str, limited_user: tuple[redis.Redis, str]
) -> None:
    client, name = limited_user
    change_user(client, name, "-info", "-config")
    facts = await redis_facts(with_user(redis_url, name))
    assert (facts.version, facts.maxmemory_policy, facts.refusals) == ("", "", ())
    assert redis_conditions(facts) == []


async def test_an_eviction_policy_is_noticed(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            (condition,) = redis_conditions(await redis_facts(redis_url))
        finally:
            client.config_set("maxmemory-policy", "noeviction")
    assert not condition.fails
    assert "noeviction" in condition.text


def change_user(client: redis.Redis, name: str, *rules: str) -> None:
    client.execute_command("ACL", "SETUSER", name, *rules)  # type: ignore[no-untyped-call]


def with_user(url: str, name: str) -> str:
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{name}:sesame@{host}").geturl()
