"""Digests as jobs: who gets one, once, and what a failure does."""

from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest

from actors.stats.digests import Digests
from engine.accounts.access import Caller
from engine.accounts.member import InvitationDraft
from engine.common.errors import UnavailableError
from engine.jobs.handler import JobContext
from engine.jobs.job import GiveUpError, JobDraft
from engine.links.profile import ProfileDraft
from engine.mail.ports import Mailer, MailRefusedError
from engine.mail.server import Sender
from engine.stats.dashboards.digest import EVENT_JOB, MAIL_JOB, QUEUE, DigestSettings
from engine.stats.result import MetricValues, Stats
from engine.webhooks.events import DigestReady, EventDraft
from engine.webhooks.webhook import NewWebhookDraft
from storage.jobs.jobs import PostgresJobQueue
from storage.jobs.memory_jobs import MemoryJobs
from storage.links.memory_profiles import MemoryProfiles
from storage.mail.memory_mail import MemoryMailer
from storage.mail.smtp import SmtpMailer
from storage.stats.dashboards.digests import PostgresDigestQueue, PostgresDigestSettingsStore
from storage.stats.dashboards.memory_digests import MemoryDigests
from storage.stats.reader import PostgresStatsReader
from storage.webhooks.outbox import PostgresOutbox
from storage.webhooks.webhooks import PostgresWebhookStore
from tests.kit.consoles import GivenStats
from tests.kit.hosted import hosted_run
from tests.kit.mail_servers import mail_server
from tests.kit.stores import Teams, opened

DUE = "2026-11-30T12:00:00Z"
CONSOLE = "https://console.example"
ME = Caller(1, 7)


class KeptOutbox:
    def __init__(self) -> None:
        self.drafts: list[EventDraft] = []

    async def append(self, connection: Any, drafts: Any) -> None:
        self.drafts += drafts


class World:
    """The handlers over twins."""

    def __init__(self, mailer: Mailer | None, console_url: str = CONSOLE) -> None:
        self.profiles = MemoryProfiles()
        self.store = MemoryDigests(self.profiles)
        self.store.emails[ME.user_id] = "ada@example.com"
        self.outbox, self.jobs, self.stats = KeptOutbox(), MemoryJobs(), GivenStats()
        totals = MetricValues(clicks=12, views=30, visitors=9)
        self.stats.answer = Stats(rows=(), as_of=None, totals=totals)
        self.digests = Digests(self.store, self.stats, self.outbox, mailer, console_url)

    async def run(self, kind: str, profile_id: int | None, **payload: Any) -> None:
        """Run one job of the kind."""
        draft = JobDraft(
            kind=kind, tenant_id=1, profile_id=profile_id, queue=QUEUE,
            payload={"cadence": "weekly", "due": DUE, **payload},
        )  # fmt: skip
        await self.jobs.enqueue([draft])
        (job,) = await self.jobs.claim("w", {QUEUE: 1}, [kind], 10)
        handlers = self.digests.handlers() | {
            job.kind: job.handler for job in self.digests.periodic_jobs()
        }
        await handlers[kind].run(JobContext(job, self.jobs))


async def test_a_member_who_asked_gets_a_mail_and_no_other() -> None:
    mailer = MemoryMailer()
    world = World(mailer)
    profile = await world.profiles.create_profile(ME, ProfileDraft(handle="ada"))
    send = partial(world.run, MAIL_JOB, profile.id, user_id=ME.user_id)
    await send()
    assert mailer.sent == []
    await world.store.store_settings(ME, profile.id, DigestSettings(monthly=True))
    await send()
    assert mailer.sent == []
    settings = DigestSettings(weekly=True, tz="Europe/Rome")
    await world.store.store_settings(ME, profile.id, settings)
    await send()
    (message,) = mailer.sent
    assert message.to == "ada@example.com"
    assert message.subject.startswith("@ada: 12 clicks in the week from 23 November 2026")
    await send()  # as after a crash before the job's end
    assert mailer.sent[1].message_id == message.message_id
    await world.profiles.delete_profile(ME, profile.id)
    await send()
    assert len(mailer.sent) == 2


async def test_a_failure_is_tried_again_and_a_refusal_is_not() -> None:
    mailer = MemoryMailer()
    world = World(mailer)
    profile = await world.profiles.create_profile(ME, ProfileDraft(handle="ada"))
    await world.store.store_settings(ME, profile.id, DigestSettings(weekly=True))
    mailer.error = UnavailableError("away")
    with pytest.raises(UnavailableError):
        await world.run(MAIL_JOB, profile.id, user_id=ME.user_id)
    mailer.error = MailRefusedError("no such user")
    with pytest.raises(GiveUpError, match="no such user"):
        await world.run(MAIL_JOB, profile.id, user_id=ME.user_id)


async def test_without_a_mail_server_or_a_url_a_mail_is_given_up() -> None:
    with pytest.raises(GiveUpError, match="WAYPOST_SMTP_URL"):
        await World(None).run(MAIL_JOB, 1, user_id=7)
    with pytest.raises(GiveUpError, match="WAYPOST_CONSOLE_URL"):
        await World(MemoryMailer(), "").run(MAIL_JOB, 1, user_id=7)


async def test_what_is_due_is_enqueued_with_mails_only_where_mail_is_sent() -> None:
    due = datetime(2026, 11, 30, 12, tzinfo=UTC)
    for mailer in (None, MemoryMailer()):
        world = World(mailer)
        await world.run("digests.monthly", None)
        assert world.store.enqueued == [("monthly", due, mailer is not None)]


async def test_an_event_is_of_weeks_of_utc_and_names_its_period() -> None:
    world = World(None)
    profile = await world.profiles.create_profile(ME, ProfileDraft(handle="ada"))
    await world.run(EVENT_JOB, profile.id)
    await world.run(EVENT_JOB, profile.id + 1)
    (draft,) = world.outbox.drafts
    assert (draft.type, draft.once) == ("digest.weekly", "digest.weekly:2026-11-23")
    assert isinstance(draft.data, DigestReady)
    assert (draft.data.from_, draft.data.to, draft.data.totals.clicks) == (
        "2026-11-23",
        "2026-11-30",
        12,
    )


@pytest.mark.slow
@pytest.mark.trio(run=hosted_run)
@pytest.mark.parametrize("place", ["postgres"], indirect=True)
async def test_each_digest_is_enqueued_and_sent_once(place: str, teams: Teams) -> None:
    """From the settings to the mail server and the outbox, over real servers."""
    ada, ben = await teams.person("ada@example.com"), await teams.person("ben@example.com")
    profile = await teams.profiles.create_profile(ada, ProfileDraft(handle="ada", title="Ada"))
    draft = InvitationDraft(email="ben@example.com", role="viewer")
    _, token = await teams.invitations.invite(ada, profile.id, draft)
    await teams.invitations.accept(ben, token)
    async with opened(place) as open_database:
        workers, app = await open_database("waypost_aggregator"), await open_database("waypost_app")
        settings = PostgresDigestSettingsStore(app)
        assert await settings.settings(ben, profile.id) == DigestSettings()
        for user in (ada, ben):
            await settings.store_settings(
                user, profile.id, DigestSettings(weekly=True, tz="Europe/Rome")
            )
        hook = NewWebhookDraft(url="https://example.com/hook", event_types=["digest.*"])
        await PostgresWebhookStore(app).create_webhook(ada, profile.id, hook)
        queue = PostgresJobQueue(workers)
        with mail_server() as kept:
            mailer = SmtpMailer(kept.server(), Sender("Waypost", "waypost@example.com"))
            for sender in (mailer, None):  # the second time as if the schedule's memory were lost
                digests = Digests(
                    PostgresDigestQueue(workers),
                    PostgresStatsReader(app),
                    PostgresOutbox(),
                    sender,
                    CONSOLE,
                )
                handlers = digests.handlers() | {j.kind: j.handler for j in digests.periodic_jobs()}
                await queue.enqueue([JobDraft(kind="digests.weekly", payload={"due": DUE})])
                await work_off(queue, handlers)
            await teams.members.remove_member(ben, profile.id, ben.user_id)
        sent = sorted(envelope.rcpt_tos[0] for envelope in kept.envelopes)
        assert sent == ["ada@example.com", "ben@example.com"]
        assert len({message["Message-ID"] for message in kept.messages}) == 2
        recipient = PostgresDigestQueue(workers).recipient
        assert await recipient(profile.tenant_id, profile.id, ben.user_id, "weekly") is None
        assert await recipient(profile.tenant_id, profile.id, ada.user_id, "monthly") is None

        async def events(connection: Any) -> list[Any]:
            rows: list[Any] = await connection.fetch("SELECT type, data FROM events")
            return rows

        (event,) = await workers.transaction(events)
        assert event["type"] == "digest.weekly"
        assert '"from": "2026-11-23"' in event["data"]


async def work_off(queue: PostgresJobQueue, handlers: Any) -> None:
    """Run all jobs as a worker does, those that are due later too."""
    for kinds in (["digests.weekly"], [MAIL_JOB, EVENT_JOB]):
        for job in await claim_all(queue, kinds):
            context = JobContext(job, queue)
            await handlers[job.kind].run(context)
            if not context.finished:

                async def nothing(_: Any) -> None: ...

                await context.finish_with(nothing)


async def claim_all(queue: PostgresJobQueue, kinds: list[str]) -> list[Any]:
    async def run_now(connection: Any) -> None:
        await connection.execute("UPDATE jobs SET run_at = clock_timestamp() - interval '1 second'")

    await queue._database.transaction(run_now)
    return await queue.claim("w", {"default": 100, QUEUE: 100}, kinds, 30)
