"""The policy in use: lists by file and URL together, read again when they change, and said to be old."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from engine.common.errors import UnavailableError
from engine.links.abuse.fetched_list import Fetched, ListState
from engine.operations.settings import Settings
from storage.links.abuse.memory_blocklists import MemoryBlocklists
from storage.links.abuse.policy_source import PolicySource

A, B = "https://lists.example/a", "https://lists.example/b"
NOW = datetime(2026, 5, 1, tzinfo=UTC)


class AwayBlocklists(MemoryBlocklists):
    """Copies whose server can be away."""

    away = False

    async def states(self, urls: Sequence[str]) -> dict[str, ListState]:
        if self.away:
            raise UnavailableError("away")
        return await super().states(urls)


async def test_lists_by_file_and_url_block_together(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_text("file.example\n")
    lists = AwayBlocklists(lambda: NOW)
    settings = Settings(blocklist=str(path), blocklist_urls=f"{A} {B}")
    source = PolicySource(settings, lists, lambda: (NOW + timedelta(hours=30)).timestamp())
    await lists.record(A, Fetched("new", b"a.example\n"))
    policy = await source.read()
    assert policy.blocked("https://file.example/")
    assert policy.blocked("https://x.a.example/")
    assert not policy.blocked("https://b.example/")
    assert source.is_complete is False  # B was never fetched
    assert f"{B} was never fetched" in source.component("console/blocklists").reason
    assert await source.read() is policy  # unchanged: the same, by which others know
    await lists.record(B, Fetched("new", b"b.example\nc.example\n"))
    await lists.record(A, Fetched("failed", reason="it answers 500"))
    lists.away = True
    assert await source.read() is policy
    lists.away = False
    assert (await source.read()).blocked("https://b.example/")
    complete: bool = source.is_complete
    assert complete
    component = source.component("console/blocklists")
    assert component.ready
    assert "fetched 30 hours ago (it answers 500)" in component.reason
    values = {(sample.metric.name, *sample.labels): sample.value for sample in source.samples()}
    assert values["waypost_blocklist_entries_kept", "2"] == 2
    assert values["waypost_blocklist_entries_kept", "file"] == 1
    assert values["waypost_blocklist_age_seconds", "1"] == 30 * 3600
    path.unlink()
    assert (await source.read()).blocked("https://file.example/")


async def test_own_and_protected_hosts_have_lookalikes() -> None:
    settings = Settings(visitors_url="https://go.example/", protected_hosts="bank.example")
    policy = await PolicySource(settings).read()
    assert policy.lookalike("https://go.examp1e/")
    assert policy.lookalike("https://bаnk.example/")
    assert policy.lookalike("https://bank.example/") is None
    assert PolicySource(settings).is_complete
