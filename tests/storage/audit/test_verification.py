"""Verification of the log's chains: it detects changes made without the triggers, and names the entry."""

from contextlib import suppress

import asyncpg
import pytest

from engine.accounts.access import Caller
from engine.links.link import LinkDraft
from engine.links.profile import ProfileDraft
from storage.accounts.keys import ensure_owner
from storage.audit.verification import AuditResult, verify
from storage.bridge import in_asyncio
from storage.links.profiles import PostgresProfileStore
from tests.kit.hosted import hosted_run
from tests.kit.stores import FAST, OpenDatabase

pytestmark = [pytest.mark.trio(run=hosted_run), pytest.mark.slow]

ENTRIES = 2 + 2 * (1 + 5)  # a user and a key; two profiles with five links each


async def two_logged_profiles(open_database: OpenDatabase) -> tuple[Caller, int, int]:
    """Make two profiles with six entries each. Returns (first owner, profile id, profile id)."""
    app = await open_database("waypost_app")
    owner = await ensure_owner(app, "owner@example.com", FAST)
    assert owner is not None
    profiles, ids = PostgresProfileStore(app), []
    for handle in ("one", "two"):
        profile = await profiles.create_profile(owner.caller, ProfileDraft(handle=handle))
        ids.append(profile.id)
        for slug in ("ä", "b", "c", "d", "e"):
            # JSON escapes this text and could do so in more than one way.
            draft = LinkDraft(
                slug=slug, target="https://example.com/?a=%00", title='"\\ü😀\u2028 <b>'
            )
            await profiles.create_link(owner.caller, profile.id, draft)
    first, second = ids
    return owner.caller, first, second


async def tamper(url: str, statement: str) -> None:
    """Run a statement as a superuser with the triggers off."""

    async def work() -> None:
        connection = await asyncpg.connect(url)
        try:
            await connection.execute(
                "SET search_path = waypost; SET session_replication_role = replica"
            )
            await connection.execute(statement)
        finally:
            await connection.close()

    await in_asyncio(work)


async def test_an_untouched_log_is_intact(open_database: OpenDatabase, database_url: str) -> None:
    await two_logged_profiles(open_database)
    assert await verify(database_url) == AuditResult(ENTRIES, 3)


EXCHANGE = (
    "UPDATE audit_log SET seq = -seq WHERE profile_id = {one} AND seq IN (2, 3); "
    "UPDATE audit_log SET seq = 5 + seq WHERE profile_id = {one} AND seq < 0"
)
REHASH = (
    "CREATE OR REPLACE FUNCTION audit_log_hash(previous bytea, entry audit_log) RETURNS bytea LANGUAGE sql "
    "IMMUTABLE AS 'SELECT entry.hash'; UPDATE audit_log SET action = 'x' WHERE profile_id = {one} AND seq = 2"
)


@pytest.mark.parametrize(
    ("statement", "entry", "reason"),
    [
        ("UPDATE audit_log SET after = after || '{{\"slug\": \"x\"}}' WHERE profile_id = {one} AND seq = 3",
         "{one}: entry 3", "not as it was written"),
        ("UPDATE audit_log SET user_id = NULL WHERE profile_id = {two} AND seq = 1",
         "{two}: entry 1", "not as it was written"),
        ("UPDATE audit_log SET at = at + interval '1 microsecond' WHERE profile_id = {two} AND seq = 6",
         "{two}: entry 6", "not as it was written"),
        ("DELETE FROM audit_log WHERE profile_id = {one} AND seq = 3", "{one}: entry 3", "is missing"),
        ("DELETE FROM audit_log WHERE profile_id = {one} AND seq = 1", "{one}: entry 1", "is missing"),
        ("DELETE FROM audit_log WHERE profile_id = {one} AND seq = 6", "{one}: entry 6", "is missing"),
        ("DELETE FROM audit_log WHERE profile_id = {one} AND seq > 2", "{one}: entry 3", "is missing"),
        ("DELETE FROM audit_log WHERE profile_id = {one}", "{one}: entry 1", "is missing"),
        ("DELETE FROM audit_log WHERE profile_id = {two}", "{two}: entry 1", "is missing"),
        (EXCHANGE, "{one}: entry 2", "not as it was written"),
        (REHASH, "{one}: entry 2", "not as it was written"),
        ("INSERT INTO audit_log SELECT tenant_id, profile_id, 7, at, user_id, key_id, request_id, action, "
         "object_type, object_id, before, after, hash FROM audit_log WHERE profile_id = {two} AND seq = 6",
         "{two}: entry 7", "not as it was written"),
        ("DELETE FROM audit_log_heads WHERE profile_id = {one}", "{one}: entry 6", "has no head"),
        ("UPDATE audit_log_heads SET hash = sha256('') WHERE profile_id = {two}",
         "{two}: entry 6", "not the entry that the chain's head names"),
        ("UPDATE audit_log_heads SET seq = 5 WHERE profile_id = {two}", "{two}: entry 6", "was added"),
        ("UPDATE audit_log SET hash = sha256('') WHERE profile_id = {one}; "
         "UPDATE audit_log SET action = '' WHERE profile_id = {two}", "{one}: entry 1", "not as it was"),
    ],
)  # fmt: skip
async def test_tampering_is_detected_and_located(
    open_database: OpenDatabase, database_url: str, statement: str, entry: str, reason: str
) -> None:
    caller, one, two = await two_logged_profiles(open_database)
    await tamper(database_url, statement.format(one=one, two=two))
    broken = (await verify(database_url)).broken
    assert broken.startswith(
        f"tenant {caller.tenant_id}, profile {entry.format(one=one, two=two)} "
    )
    assert reason in broken


async def test_the_log_is_append_only(open_database: OpenDatabase, database_url: str) -> None:
    await two_logged_profiles(open_database)
    by_row = {
        (role, "DELETE", "audit_log") for role in ("waypost_aggregator", "waypost_owner", "NONE")
    }

    async def work() -> None:
        connection = await asyncpg.connect(database_url)
        try:
            await connection.execute("SET search_path = waypost")
            for role in (
                "waypost_app",
                "waypost_edge",
                "waypost_aggregator",
                "waypost_owner",
                "NONE",
            ):
                for table in ("audit_log", "security_events"):
                    for statement in (
                        f"UPDATE {table} SET request_id = 'x'",
                        f"DELETE FROM {table}",
                        f"TRUNCATE {table}",
                        f"DELETE FROM {table} WHERE false",
                    ):
                        await connection.execute(f"SET ROLE {role}")
                        # Workers may delete the chain of a profile that is erased; a trigger checks each
                        # row. So these statements may succeed, but must delete nothing (see the end).
                        attempt = (role, statement.split()[0], table)
                        if attempt in by_row:
                            with suppress(asyncpg.ObjectNotInPrerequisiteStateError):
                                await connection.execute(statement)
                        else:
                            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                                await connection.execute(statement)
                        await connection.execute("RESET ROLE")
        finally:
            await connection.close()

    await in_asyncio(work)
    assert await verify(database_url) == AuditResult(ENTRIES, 3)


async def test_verification_reads_in_pieces_and_reports_progress(
    open_database: OpenDatabase, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.audit.verification._ROWS", 4)
    monkeypatch.setattr("storage.audit.verification._REPORT_EVERY", 5)
    await two_logged_profiles(open_database)
    progress: list[int] = []
    assert await verify(database_url, lambda done, of: progress.append(done)) == AuditResult(
        ENTRIES, 3
    )
    assert progress == [5, 10]
