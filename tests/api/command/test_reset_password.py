"""`waypost reset-password` on given servers, through its command line."""

import re
from functools import partial

import pytest

from engine.common.errors import NotFoundError
from storage.accounts.passwords import PasswordHasher
from storage.accounts.recovery import PostgresRecoveryStore
from tests.kit.engines import waypost
from tests.kit.hosted import hosted_run
from tests.kit.stores import FAST, opened, second_owner

pytestmark = pytest.mark.slow


def test_the_page_of_an_account_works_once_and_a_stranger_has_none(database_url: str) -> None:
    settings = {
        "DATABASE_URL": database_url,
        "REDIS_URL": "redis://127.0.0.1:1",
        "WAYPOST_CONSOLE_URL": "https://console.example/",
    }
    ada = hosted_run(partial(second_owner, database_url, "ada@example.com", FAST.hash("x")))
    process = waypost("reset-password", "Ada@Example.com", **settings)
    assert (process.returncode, process.stderr) == (0, "")
    match = re.fullmatch(r"https://console\.example/reset#(wpo_\S+)\n", process.stdout)
    assert match is not None, process.stdout
    token = match[1]

    async def use_twice() -> None:
        async with opened(database_url) as open_database:
            store = PostgresRecoveryStore(
                await open_database("waypost_app"), PasswordHasher(FAST), 3600
            )
            assert await store.reset(token, "another sentence", "") == ada
            with pytest.raises(NotFoundError):
                await store.reset(token, "another sentence", "")

    hosted_run(use_twice)
    refused = waypost("reset-password", "nobody\x1b[31m@example.com", **settings)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == "waypost: there is no account with this address\n"
