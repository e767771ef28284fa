"""Imports that a worker carries out: broken off anywhere, a file makes the same links and the same counts."""

from collections.abc import Sequence
from typing import Any

import pytest
import trio

from actors.jobs.worker import LEASE_S, Worker
from actors.links import file_imports as module
from engine.accounts.access import Caller
from engine.common.errors import NewAccountError
from engine.jobs.handler import JobContext
from engine.jobs.job import AttemptEnd
from engine.links.imports.link_import import IMPORT_QUEUE, LinkImport, RowCounts
from engine.links.imports.row_error import RowReject
from engine.links.ports import ImportResult, ImportRow
from engine.links.profile import ProfileDraft
from storage.jobs.memory_jobs import MemoryJobs
from storage.links.imports.memory_imports import MemoryImports
from storage.links.memory_profiles import MemoryProfiles
from tests.kit.file_imports import TARGET, ImportStores, claimed, file_imports

HEAD = "slug,target\n"


class Crashed(BaseException):
    """The end of a worker."""


class CrashingProfiles(MemoryProfiles):
    """Profiles whose worker dies at each of the import's transactions in turn, before or after its commit."""

    crashes: list[str]

    async def import_rows(self, *args: Any, **options: Any) -> ImportResult:
        crash = self.crashes.pop(0) if self.crashes else ""
        if crash == "before":
            raise Crashed
        result = await super().import_rows(*args, **options)
        if crash == "after":
            raise Crashed
        return result


class Sent:
    """An import of a file into the profile `ada` over the twins."""

    def __init__(self, profiles: MemoryProfiles | None = None) -> None:
        self.profiles = profiles or MemoryProfiles()
        self.jobs = MemoryJobs()
        imports = MemoryImports(self.profiles, self.jobs)
        self.stores = ImportStores(
            self.profiles, self.profiles, imports, imports, self.jobs, Caller(1, 1), Caller(2, 2)
        )
        self.handler = file_imports(imports, self.profiles)

    async def send(self, file: str | bytes, **wishes: Any) -> LinkImport:
        page = await self.profiles.list_profiles(self.stores.caller, 0, 1)
        if not page.items:
            draft = ProfileDraft(handle="ada")
            page.items.append(await self.profiles.create_profile(self.stores.caller, draft))
        data = file.encode() if isinstance(file, str) else file
        return await self.stores.sent(page.items[0].id, data, **wishes)

    async def ended(self, file: str | bytes, **wishes: Any) -> LinkImport:
        link_import = await self.send(file, **wishes)
        await self.stores.run()
        return await self.stores.read(link_import)

    async def rejects(self, link_import: LinkImport) -> list[RowReject]:
        ids = link_import.profile_id, link_import.id
        page = await self.stores.imports.list_rejects(self.stores.caller, *ids, 0, 100)
        return page.items


def rows(count: int) -> list[str]:
    """Return rows of which some are bad, and some have the address of another, near or far."""
    lines = [f"s{n},{TARGET}{n}" for n in range(count)]
    lines[3] = "x,javascript:1"
    lines[7] = f"s5,{TARGET}5"
    lines[count - 2] = f"s1,{TARGET}again"
    return lines


@pytest.mark.parametrize("dry_run", [False, True])
async def test_an_import_whose_workers_die_counts_each_row_once(
    monkeypatch: pytest.MonkeyPatch, dry_run: bool
) -> None:
    monkeypatch.setattr(module, "BATCH_ROWS", 4)
    file = HEAD + "\n".join(rows(30))
    smooth, profiles = Sent(), CrashingProfiles()
    profiles.crashes = ["before", "after", "", "after", "before", "after", "", "before"]
    broken = Sent(profiles)
    expected = await smooth.ended(file, dry_run=dry_run)
    sent = await broken.send(file, dry_run=dry_run)
    attempts = 0
    while jobs := await claimed(broken.jobs):
        attempts += 1
        try:
            await broken.handler.run(JobContext(jobs[0], broken.jobs))
        except Crashed:
            await broken.jobs.end([AttemptEnd(jobs[0].lease, "returned")])
    assert attempts == 7
    ended = await broken.stores.read(sent)
    assert ended.counts == expected.counts == RowCounts(created=27, rejected=3)
    assert (ended.state, ended.total) == ("succeeded", 30)
    assert await broken.rejects(ended) == await smooth.rejects(expected)
    assert [(r.line, r.first_line) for r in await broken.rejects(ended)] == [
        (5, 0),
        (9, 7),
        (30, 3),
    ]
    links = await broken.profiles.list_links(broken.stores.caller, sent.profile_id, 0, 100)
    assert len(links.items) == (0 if dry_run else 27)


async def test_a_running_import_is_cancelled_between_batches(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    monkeypatch.setattr(module, "BATCH_ROWS", 1)
    sent = Sent()
    begun, go_on = trio.Event(), trio.Event()
    import_rows = sent.profiles.import_rows

    async def slow_import(
        caller: Caller, batch: Sequence[ImportRow], *args: Any, **options: Any
    ) -> ImportResult:
        if batch[0].slug == "s2":
            begun.set()
            await go_on.wait()
        return await import_rows(caller, batch, *args, **options)

    monkeypatch.setattr(sent.profiles, "import_rows", slow_import)
    link_import = await sent.send(HEAD + "\n".join(rows(30)))
    worker = Worker("worker", sent.jobs, sent.handler.handlers(), {IMPORT_QUEUE: 2})
    async with trio.open_nursery() as nursery:
        nursery.start_soon(worker.run)
        await begun.wait()
        ids = link_import.profile_id, link_import.id
        running = await sent.stores.imports.cancel(sent.stores.caller, *ids)
        assert (running.state, running.counts) == ("running", RowCounts(created=2))
        await trio.sleep(LEASE_S)
        nursery.cancel_scope.cancel()
    assert (await sent.stores.read(link_import)).state == "cancelled"
    links = await sent.profiles.list_links(sent.stores.caller, ids[0], 0, 100)
    assert [link.slug for link in links.items] == ["s0", "s1"]


@pytest.mark.parametrize(
    ("file", "wishes", "error"),
    [
        ("slug,target,target\n", {}, "header: has the column 'target' twice"),
        (HEAD, {"columns": {"slug": "Short"}}, "slug: is to be read from 'Short'"),
        ("[" + "{}," * 9 + "{}]", {}, "document: must have at most 20 characters"),
        (HEAD + "\n".join(rows(12)), {}, "body: must have at most 10 rows"),
    ],
)
async def test_a_file_that_cannot_be_read_ends_its_import_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, file: str, wishes: dict[str, Any], error: str
) -> None:
    monkeypatch.setattr(module, "MAX_ROWS", 10)
    monkeypatch.setattr(module, "MAX_DOCUMENT_CHARS", 20)
    sent = Sent()
    link_import = await sent.send(file, **wishes)
    (job,) = await claimed(sent.jobs)
    await sent.handler.run(JobContext(job, sent.jobs))
    ended = await sent.stores.read(link_import)
    assert (ended.state, ended.counts) == ("failed", RowCounts())
    assert error in ended.error
    assert sent.handler.unreadable == 1


async def test_a_member_who_left_and_a_file_that_is_gone_end_the_import() -> None:
    sent = Sent()
    link_import = await sent.send(HEAD)
    _, roles = sent.profiles.team_of(link_import.profile_id) or (None, {})
    roles[1] = "viewer"
    await sent.stores.run()
    roles[1] = "owner"
    ended = await sent.stores.read(link_import)
    assert (ended.state, "takes the role" in ended.error) == ("failed", True)
    link_import = await sent.send(HEAD)
    await sent.stores.imports.cancel(sent.stores.caller, link_import.profile_id, link_import.id)
    await sent.jobs.retry(None, max(sent.jobs.jobs))
    await sent.stores.run()
    assert "send it again" in (await sent.stores.read(link_import)).error


async def test_metrics_count_rows_and_columns_that_mean_nothing_are_named() -> None:
    sent = Sent()
    link_import = await sent.send(f"slug,target,Colour\na,{TARGET},red\nb,javascript:1,\n")
    (job,) = await claimed(sent.jobs)
    context = JobContext(job, sent.jobs)
    await sent.handler.run(context)
    assert context.progress == (2, 2)
    assert (await sent.stores.read(link_import)).unread == ("Colour",)
    samples = {(s.metric.name, s.labels): s.value for s in sent.handler.samples()}
    assert samples["waypost_import_rows_total", ("created",)] == 1
    assert samples["waypost_import_rows_total", ("rejected",)] == 1


async def test_an_import_that_a_new_account_may_not_go_on_with_says_so_and_keeps_its_batches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "BATCH_ROWS", 1)
    sent = Sent()
    import_rows = sent.profiles.import_rows

    async def limited(
        caller: Caller, batch: Sequence[ImportRow], *args: Any, **options: Any
    ) -> ImportResult:
        if batch[0].slug == "s2":
            raise NewAccountError("a new account creates at most 2 links a day", 60.0)
        return await import_rows(caller, batch, *args, **options)

    monkeypatch.setattr(sent.profiles, "import_rows", limited)
    link_import = await sent.send(HEAD + "\n".join(rows(12)))
    (job,) = await claimed(sent.jobs)
    await sent.handler.run(JobContext(job, sent.jobs))
    ended = await sent.stores.read(link_import)
    assert (ended.state, ended.counts.created) == ("failed", 2)
    assert "at most 2 links a day" in ended.error
