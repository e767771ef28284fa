"""Jobs that mail reset tokens."""

import re

import pytest

from actors.accounts.reset_mails import ResetMails
from engine.accounts.access import Caller
from engine.accounts.recovery import RESET_JOB
from engine.common.errors import UnavailableError
from engine.jobs.handler import JobContext
from engine.jobs.job import GiveUpError, JobDraft
from engine.mail.ports import Mailer, MailRefusedError
from storage.accounts.memory_accounts import MemoryAccountStore
from storage.accounts.memory_recovery import MemoryRecovery
from storage.jobs.memory_jobs import MemoryJobs
from storage.mail.memory_mail import MemoryMailer

CONSOLE = "https://console.example/"


class World:
    """The handler over twins, with one user."""

    def __init__(self, mailer: Mailer | None, console_url: str = CONSOLE) -> None:
        accounts = MemoryAccountStore()
        accounts.add(Caller(1, 7), "ada@example.com", "correct horse")
        self.recovery = MemoryRecovery(accounts)
        self.handler = ResetMails(self.recovery, mailer, console_url).handlers()[RESET_JOB]

    async def send(self, user_id: int = 7) -> None:
        jobs = MemoryJobs()
        await jobs.enqueue([JobDraft(kind=RESET_JOB, tenant_id=1, payload={"user_id": user_id})])
        (job,) = await jobs.claim("w", {"default": 1}, [RESET_JOB], 10)
        await self.handler.run(JobContext(job, jobs))


async def test_a_mail_has_the_page_with_a_token_that_works() -> None:
    mailer = MemoryMailer()
    world = World(mailer)
    await world.send()
    (message,) = mailer.sent
    assert message.to == "ada@example.com"
    match = re.search(r"https://console\.example/reset#(wpo_[\w-]+)\n", message.text)
    assert match is not None
    assert await world.recovery.reset(match[1], "another battery", "") == Caller(1, 7)


async def test_a_user_who_is_gone_gets_none() -> None:
    mailer = MemoryMailer()
    await World(mailer).send(8)
    assert mailer.sent == []


async def test_a_failure_is_tried_again_and_a_refusal_is_not() -> None:
    mailer = MemoryMailer()
    mailer.error = UnavailableError("away")
    with pytest.raises(UnavailableError):
        await World(mailer).send()
    mailer.error = MailRefusedError("no such user")
    with pytest.raises(GiveUpError, match="no such user"):
        await World(mailer).send()


async def test_without_a_mail_server_or_a_url_the_job_says_what_is_missing() -> None:
    with pytest.raises(GiveUpError, match="WAYPOST_SMTP_URL"):
        await World(None).send()
    with pytest.raises(GiveUpError, match="WAYPOST_CONSOLE_URL"):
        await World(MemoryMailer(), "").send()
