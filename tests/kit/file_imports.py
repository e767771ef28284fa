"""Imports of files as members send them and workers carry them out, over the twins or over Postgres."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from actors.links.file_imports import FileImports
from engine.accounts.access import Caller
from engine.jobs.handler import JobContext
from engine.jobs.job import AttemptEnd, Job
from engine.jobs.ports import JobQueue
from engine.links.import_ports import ImportSpool, ImportStore
from engine.links.imports.link_import import IMPORT_QUEUE, ImportWishes, LinkImport
from engine.links.ports import LinkImporter, ProfileStore
from engine.links.profile import ProfileChange
from engine.links.targets.target_policy import NO_POLICY, TargetPolicy
from tests.kit.consoles import Answered, Console

TARGET = "https://example.com/"


async def announce_nothing(_: Sequence[ProfileChange]) -> None:
    pass


def file_imports(
    spool: ImportSpool, importer: LinkImporter, policy: TargetPolicy = NO_POLICY
) -> FileImports:
    async def read_policy() -> TargetPolicy:
        return policy

    return FileImports(
        spool,
        importer,
        announce_nothing,
        read_policy,
        private_hosts=False,
        visitors_url="https://go.example",
    )


async def claimed(queue: JobQueue, capacity: int = 9) -> list[Job]:
    return await queue.claim("worker", {IMPORT_QUEUE: capacity}, ["links.import"], 60)


async def run_waiting(queue: JobQueue, imports: FileImports) -> None:
    """Run all imports that wait, one after the other."""
    while jobs := await claimed(queue, 1):
        context = JobContext(jobs[0], queue)
        await imports.handlers()[jobs[0].kind].run(context)
        assert context.finished


class ImportStores(NamedTuple):
    """The ports of imports over one state, and the first users of two tenants."""

    profiles: ProfileStore
    importer: LinkImporter
    imports: ImportStore
    spool: ImportSpool
    queue: JobQueue
    caller: Caller
    other: Caller

    async def sent(self, profile_id: int, *chunks: bytes, **wishes: Any) -> LinkImport:
        """Send a file in these chunks. Returns the import, which waits."""
        link_import = await self.imports.begin(self.caller, profile_id, ImportWishes(**wishes))
        for number, chunk in enumerate(chunks):
            await self.imports.add_chunk(self.caller, link_import, number, chunk)
        size = sum(map(len, chunks))
        return await self.imports.start(self.caller, link_import, size=size, chunks=len(chunks))

    async def give_back(self, job: Job) -> None:
        """End a job's attempt as a worker that stops does."""
        await self.queue.end([AttemptEnd(job.lease, "returned")])

    async def run(self) -> None:
        await run_waiting(self.queue, file_imports(self.spool, self.importer))

    async def read(self, link_import: LinkImport) -> LinkImport:
        return await self.imports.link_import(self.caller, link_import.profile_id, link_import.id)


async def imported(console: Console, profile_id: str, file: bytes, query: str = "") -> Answered:
    """Send a file to a console over the twins, and carry the import out. Returns the import that has ended."""
    sent = await console.call("POST", f"/v1/profiles/{profile_id}/imports{query}", file)
    assert sent.status == 202, sent.body
    imports = file_imports(console.imports, console.profiles, console.policy())
    await run_waiting(console.jobs, imports)
    return await console.call("GET", sent.headers["Location"])
