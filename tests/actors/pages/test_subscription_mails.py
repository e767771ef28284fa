"""Jobs that mail visitors who entered their address into a form."""

import re

import pytest

from actors.pages.subscription_mails import SubscriptionMails
from engine.accounts.access import Caller
from engine.common.errors import UnavailableError
from engine.jobs.handler import JobContext
from engine.jobs.job import GiveUpError, JobDraft
from engine.links.profile import ProfileDraft
from engine.mail.ports import Mailer, MailRefusedError
from engine.pages.subscriber import CONFIRM_JOB
from engine.pages.subscription_token import CONFIRM_LIFETIME_S, SubscriptionTokens, TokenScope
from storage.jobs.memory_jobs import MemoryJobs
from storage.links.memory_profiles import MemoryProfiles
from storage.mail.memory_mail import MemoryMailer
from storage.pages.memory_subscribers import MemorySubscribers

NOW_S = 1_800_000_000


class World:
    """The handler over twins, with a profile that has an address to be confirmed."""

    def __init__(self, mailer: Mailer | None) -> None:
        self.profiles = MemoryProfiles()
        self.subscribers = MemorySubscribers(self.profiles)
        self.mails = SubscriptionMails(
            self.subscribers, mailer, "https://go.example/", lambda: NOW_S
        )

    async def requested(self, email: str = "v@example.com") -> tuple[int, int, int]:
        """Return (tenant, profile, request)."""
        draft = ProfileDraft(handle="gärten")
        profile = await self.profiles.create_profile(Caller(1, 1), draft)
        await self.subscribers.request(profile.tenant_id, profile.id, "b1", email)
        ((_, request_id),) = self.subscribers.due
        return profile.tenant_id, profile.id, request_id

    async def send(self, tenant_id: int, profile_id: int, request_id: int) -> None:
        jobs = MemoryJobs()
        draft = JobDraft(
            kind=CONFIRM_JOB,
            tenant_id=tenant_id,
            profile_id=profile_id,
            payload={"request_id": str(request_id)},
        )
        await jobs.enqueue([draft])
        (job,) = await jobs.claim("w", {"default": 1}, [CONFIRM_JOB], 10)
        await self.mails.handlers()[CONFIRM_JOB].run(JobContext(job, jobs))


async def test_a_mail_has_a_link_to_confirm_and_one_to_leave() -> None:
    mailer = MemoryMailer()
    world = World(mailer)
    key = await world.requested()
    await world.send(*key)
    profile, request_id = key[:2], key[2]
    (message,) = mailer.sent
    assert message.to == "v@example.com"
    tokens = SubscriptionTokens(await world.subscribers.token_secret())
    page = "https://go.example/@g%C3%A4rten"
    links = dict(re.findall(rf"^{re.escape(page)}/subscribe\?(\w+)=(\S+)$", message.text, re.M))
    assert links.keys() == {"confirm", "leave"}
    confirm, leave = TokenScope("confirm", *profile), TokenScope("leave", *profile)
    last_s = NOW_S + CONFIRM_LIFETIME_S - 1
    assert tokens.request_id(confirm, links["confirm"], last_s) == request_id
    assert tokens.request_id(confirm, links["confirm"], last_s + 1) is None
    assert tokens.request_id(leave, links["leave"], last_s + 10**9) == request_id
    assert message.unsubscribe_url == f"{page}/subscribe?leave={links['leave']}"
    assert message.one_click
    assert world.mails.results == {"sent": 1, "refused": 0}


async def test_an_address_that_was_taken_back_gets_none() -> None:
    mailer = MemoryMailer()
    world = World(mailer)
    key = await world.requested()
    await world.subscribers.unsubscribe(*key)
    await world.send(*key)
    assert mailer.sent == []


async def test_a_failure_is_tried_again_and_a_refusal_is_not() -> None:
    mailer = MemoryMailer()
    world = World(mailer)
    key = await world.requested()
    mailer.error = UnavailableError("away")
    with pytest.raises(UnavailableError):
        await world.send(*key)
    mailer.error = MailRefusedError("no such user")
    with pytest.raises(GiveUpError, match="no such user"):
        await world.send(*key)
    assert world.mails.results == {"sent": 0, "refused": 1}
    without = World(None)
    with pytest.raises(GiveUpError, match="WAYPOST_SMTP_URL"):
        await without.send(*await without.requested())
