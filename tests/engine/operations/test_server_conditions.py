"""Conditions of servers that cost clicks in silence."""

from typing import Any

import pytest

from engine.operations.server_conditions import (
    PostgresFacts,
    RedisFacts,
    postgres_conditions,
    redis_conditions,
)

POSTGRES = PostgresFacts(
    major=17, encoding="UTF8", standby=False, read_only=False, fsync=True, full_page_writes=True,
    synchronous_commit=True, usable_connections=97, collation="2.36", collation_now="2.36", skew_s=-1.5,
)  # fmt: skip
REDIS = RedisFacts("Redis", "7.0.15", False, "noeviction", ())


def test_good_servers_have_no_condition() -> None:
    assert postgres_conditions(POSTGRES, needed_connections=97) == []
    assert redis_conditions(REDIS) == []
    assert redis_conditions(RedisFacts("Valkey", "8.1", False, "", ())) == []


@pytest.mark.parametrize(
    ("changed", "fails", "text"),
    [
        ({"major": 14}, True, "version 14: Postgres 15 or later is needed"),
        ({"encoding": "SQL_ASCII"}, True, "create one with UTF8"),
        ({"standby": True, "read_only": True}, True, "name the primary in DATABASE_URL"),
        ({"read_only": True}, True, "set default_transaction_read_only to off"),
        ({"skew_s": 61.0}, True, "this machine's clock is 61 s ahead of the server's"),
        ({"skew_s": -3600.0}, True, "this machine's clock is 3600 s behind the server's"),
        ({"skew_s": 2.5}, False, "synchronise the clocks"),
        ({"fsync": False}, False, "fsync is off"),
        ({"full_page_writes": False}, False, "full_page_writes is off"),
        ({"synchronous_commit": False}, False, "takes back clicks that were counted"),
        ({"usable_connections": 23}, False, "may open 24: raise max_connections"),
        ({"collation_now": "2.41"}, False, "has version 2.36, the system's 2.41: REINDEX"),
    ],
)
def test_each_condition_of_postgres_says_what_to_do(
    changed: dict[str, Any], fails: bool, text: str
) -> None:
    (condition,) = postgres_conditions(POSTGRES._replace(**changed), needed_connections=24)
    assert (condition.server, condition.fails) == ("postgres", fails)
    assert text in condition.text


@pytest.mark.parametrize(
    ("changed", "fails", "text"),
    [
        ({"version": "6.2.14"}, True, "Redis 7.0 or later is needed"),
        ({"replica": True}, True, "name the primary in REDIS_URL"),
        ({"refusals": ("clicks of edges (no)",)}, True, "refuses clicks of edges (no): change"),
        ({"maxmemory_policy": "allkeys-lru"}, False, "set it to noeviction"),
    ],
)
def test_each_condition_of_redis_says_what_to_do(
    changed: dict[str, Any], fails: bool, text: str
) -> None:
    (condition,) = redis_conditions(REDIS._replace(**changed))
    assert (condition.server, condition.fails) == ("redis", fails)
    assert text in condition.text
