"""Digests of profiles by mail and as webhooks' events: enqueued when a week or month is over, each once.

The periodic job enqueues a job for each digest in the transaction that ends it, so each is enqueued once. An
event is written in the transaction that ends its job, and names its period, so it is sent once. A mail is
handed to the mail server before its job ends: if the worker dies in between, the mail is sent again with the
same Message-ID.
"""

from datetime import datetime
from functools import partial
from typing import Any, Final

from engine.jobs.handler import Handler, JobContext
from engine.jobs.job import GiveUpError
from engine.jobs.periodic import PeriodicJob
from engine.jobs.schedule import Cron
from engine.mail.ports import Mailer, MailRefusedError
from engine.stats.dashboards.digest import (
    DUE,
    EVENT_JOB,
    INTERVALS,
    MAIL_JOB,
    Cadence,
    Digest,
    digest_of,
    digest_queries,
)
from engine.stats.dashboards.digest_mail import digest_message
from engine.stats.dashboards.ports import DigestQueue
from engine.stats.ports import ProfileQuestion, StatsReader
from engine.webhooks.digest_event import digest_event
from engine.webhooks.ports import Outbox

TIME_LIMIT_S: Final = 60.0
ENQUEUE_LIMIT_S: Final = 300.0


class Digests:
    """Handlers of digests. Without a `mailer` the engine sends no mail."""

    def __init__(
        self,
        queue: DigestQueue,
        reader: StatsReader,
        outbox: Outbox,
        mailer: Mailer | None,
        console_url: str,
    ) -> None:
        self._queue = queue
        self._reader = reader
        self._outbox = outbox
        self._mailer = mailer
        self._console_url = console_url

    def periodic_jobs(self) -> list[PeriodicJob]:
        return [
            PeriodicJob(
                f"digests.{cadence}",
                Cron(expression),
                f"enqueue the digests of the {INTERVALS[cadence]} that is over, by mail and as events",
                Handler(run=partial(self.enqueue, cadence), time_limit_s=ENQUEUE_LIMIT_S),
            )
            for cadence, expression in DUE.items()
        ]

    def handlers(self) -> dict[str, Handler]:
        """Return the handlers of the jobs that are not periodic, by kind."""
        return {
            MAIL_JOB: Handler(run=self.mail, time_limit_s=TIME_LIMIT_S),
            EVENT_JOB: Handler(run=self.event, time_limit_s=TIME_LIMIT_S),
        }

    async def enqueue(self, cadence: Cadence, context: JobContext) -> None:
        due = datetime.fromisoformat(context.job.payload["due"])

        async def work(connection: Any) -> None:
            mail = self._mailer is not None
            await self._queue.enqueue_due(connection, cadence, due, mail=mail)

        await context.finish_with(work)

    async def mail(self, context: JobContext) -> None:
        """Mail a digest to a member, unless they have turned it off. Raises GiveUpError, UnavailableError."""
        if self._mailer is None:
            raise GiveUpError("this engine sends no mail: WAYPOST_SMTP_URL is not set")
        if not self._console_url:
            raise GiveUpError("WAYPOST_CONSOLE_URL is not set where this worker runs")
        job, cadence = context.job, context.job.payload["cadence"]
        user_id, profile_id = int(job.payload["user_id"]), job.profile_id or 0
        recipient = await self._queue.recipient(job.tenant_id, profile_id, user_id, cadence)
        if recipient is None:
            return
        names = recipient.handle, recipient.title
        digest = await self._digest(context, recipient.tz, names)
        message_id = f"digest-{cadence}-{digest.start.date()}-{profile_id}-{user_id}"
        message = digest_message(digest, recipient.email, self._console_url, message_id)
        try:
            await self._mailer.send(message)
        except MailRefusedError as error:
            raise GiveUpError(str(error)) from None

    async def event(self, context: JobContext) -> None:
        """Write a profile's digest to the outbox. Its weeks and months are those of UTC."""
        job = context.job
        profile_id = job.profile_id or 0
        names = await self._queue.names(job.tenant_id, profile_id)
        if names is None:
            return
        digest = await self._digest(context, "UTC", names)
        draft = digest_event(job.tenant_id, profile_id, digest)
        await context.finish_with(partial(self._append, draft))

    async def _append(self, draft: Any, connection: Any) -> None:
        await self._outbox.append(connection, [draft])

    async def _digest(self, context: JobContext, tz: str, names: tuple[str, str]) -> Digest:
        job = context.job
        cadence, due = job.payload["cadence"], datetime.fromisoformat(job.payload["due"])
        queries = digest_queries(cadence, due, tz)
        questions = [ProfileQuestion(job.profile_id or 0, query) for query in queries]
        answers, _ = await self._reader.answers(job.tenant_id, questions)
        return digest_of(cadence, names, queries, answers)
