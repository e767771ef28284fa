"""Addresses that visitors confirm by mail: from the form over a real mail server to the list, and off it."""

import re
from collections.abc import AsyncIterator
from functools import partial
from urllib.parse import urlsplit

import pytest

from actors.pages.subscription_mails import SubscriptionMails
from actors.visits.forms.subscriptions import SUBSCRIPTIONS_OF_CLIENT
from engine.jobs.handler import JobContext
from engine.jobs.job import JobDraft
from engine.mail.server import Sender
from engine.pages.blocks import EmailFormBlock
from engine.pages.page import ProfilePage
from engine.pages.subscriber import CONFIRM_JOB
from storage.jobs.memory_jobs import MemoryJobs
from storage.mail.smtp import SmtpMailer
from tests.kit.delayed_profiles import TENANT
from tests.kit.hosted import hosted_run
from tests.kit.html_outline import Outline
from tests.kit.mail_servers import KeptMails, mail_server
from tests.kit.visitor_servers import Response, ServedEdge, get, served_edge

pytestmark = pytest.mark.trio(run=hosted_run)
PATH = b"/@shop/subscribe"
_TYPE = b"application/x-www-form-urlencoded"
_PARTS = b'--b1\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--b1--\r\n'


class Form:
    """The page `shop` with a form that has addresses confirmed, and a mail server."""

    def __init__(self, edge: ServedEdge, profile_id: int, kept: KeptMails) -> None:
        self.edge = edge
        self.profile_id = profile_id
        self.kept = kept
        mailer = SmtpMailer(kept.server(), Sender("", "waypost@example.com"))
        self._mails = SubscriptionMails(
            edge.subscribers, mailer, "https://go.example", lambda: edge.wall_us // 1_000_000
        )

    async def post(self, body: bytes, query: bytes = b"", type_: bytes = _TYPE) -> Response:
        fields = b"Content-Type: " + type_, b"Content-Length: %d" % len(body)
        return await (await self.edge.visitor()).request(
            get(PATH + query, *fields, method=b"POST") + body
        )

    async def get(self, query: bytes) -> Response:
        return await (await self.edge.visitor()).request(get(PATH + query))

    async def mail(self) -> dict[str, str]:
        """Send the mails that are due, and return the queries of the last one's links by their purpose."""
        jobs, due = MemoryJobs(), self.edge.subscribers.due
        while due:
            profile_id, request_id = due.pop()
            draft = JobDraft(
                kind=CONFIRM_JOB,
                tenant_id=TENANT.tenant_id,
                profile_id=profile_id,
                payload={"request_id": str(request_id)},
            )
            await jobs.enqueue([draft])
            (job,) = await jobs.claim("w", {"default": 1}, [CONFIRM_JOB], 10)
            await self._mails.send(JobContext(job, jobs))
        text = self.kept.messages[-1].get_content()
        urls = map(urlsplit, re.findall(r"https://\S+/subscribe\S+", text))
        assert {url.path.encode() for url in urls} == {PATH}
        return {
            purpose: f"?{purpose}={token}"
            for purpose, token in re.findall(r"/subscribe\?(\w+)=(\S+)", text)
        }

    async def listed(self) -> list[str]:
        page = await self.edge.subscribers.list_subscribers(TENANT, self.profile_id, 0, 10)
        return [each.email for each in page.items]


@pytest.fixture
async def form() -> AsyncIterator[Form]:
    async with served_edge() as edge:
        profile_id = await edge.profiles.add_profile("shop")
        await edge.warm(b"/@shop")
        block = EmailFormBlock(id="b1", title="News", double_opt_in=True)
        await edge.publish(profile_id, ProfilePage(blocks=(block,)))
        await edge.until(lambda: edge.registry.subscriptions.tokens is not None)
        with mail_server() as kept:
            yield Form(edge, profile_id, kept)


async def test_an_address_is_confirmed_by_the_link_of_a_mail(form: Form) -> None:
    answer = await form.post(b"block=b1&email=V%40Example.com")
    assert (answer.status, b"One more step" in answer.body) == (200, True)
    assert await form.listed() == []
    links = await form.mail()
    (envelope,) = form.kept.envelopes
    assert envelope.rcpt_tos == ["V@example.com"]
    # Programs that look for viruses open every link: nothing comes of that.
    question = await form.get(links["confirm"].encode())
    assert question.status == 200
    assert question.headers["referrer-policy"] == "no-referrer"
    assert "form-action 'self'" in question.headers["content-security-policy"]
    assert await form.listed() == []
    body = links["confirm"].removeprefix("?").encode()
    assert f'value="{body.decode().partition("=")[2]}"' in question.body.decode()
    assert not Outline(question.body).unbalanced
    for _ in range(2):
        confirmed = await form.post(body)
        assert (confirmed.status, b"on the list" in confirmed.body) == (200, True)
        assert await form.listed() == ["V@example.com"]


@pytest.mark.parametrize("way", ["page", "program", "program with parts"])
async def test_an_address_leaves_by_the_link_or_by_one_click_of_a_mail_program(
    form: Form, way: str
) -> None:
    await form.post(b"block=b1&email=v%40example.com")
    links = await form.mail()
    await form.post(links["confirm"].removeprefix("?").encode())
    assert await form.listed() == ["v@example.com"]
    (header,) = re.findall(r"<(\S+)>", form.kept.messages[-1]["List-Unsubscribe"])
    assert form.kept.messages[-1]["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert header.endswith(links["leave"])
    query = links["leave"].encode()
    assert b"Delete my address" in (await form.get(query)).body
    answer = await {
        "page": partial(form.post, query[1:]),
        "program": partial(form.post, b"List-Unsubscribe=One-Click", query),
        "program with parts": partial(
            form.post, _PARTS, query, b"multipart/form-data; boundary=b1"
        ),
    }[way]()
    assert answer.status == 200
    assert await form.listed() == []
    assert (await form.post(links["confirm"].removeprefix("?").encode())).status == 410


async def test_every_address_gets_the_same_answer_and_few_mails(form: Form) -> None:
    await form.post(b"block=b1&email=known%40example.com")
    await form.post((await form.mail())["confirm"].removeprefix("?").encode())
    bodies = [
        (await form.post(b"block=b1&email=%b%%40example.com" % name)).body
        for name in (b"new", b"known", b"known", b"known", b"known")
    ]
    assert len(set(bodies)) == 1
    await form.mail()
    mailed = [envelope.rcpt_tos[0] for envelope in form.kept.envelopes]
    assert (mailed.count("known@example.com"), mailed.count("new@example.com")) == (4, 1)


async def test_a_link_that_was_not_signed_or_is_too_old_does_nothing(form: Form) -> None:
    await form.post(b"block=b1&email=v%40example.com")
    links = await form.mail()
    token = links["confirm"].encode()[len("?confirm=") :]
    for query in (
        b"?confirm=" + token[:-1] + (b"A" if token[-1:] != b"A" else b"B"), b"?leave=" + token,
        b"?confirm=", b"?confirm=%ff", b"?confirm=" + b"1" * 2_000,
    ):  # fmt: skip
        assert (await form.get(query)).status == 410
        assert (await form.post(query[1:])).status == 410
    for query in (b"", b"?x=1", b"?confirm=" + token + b"&confirm=" + token):
        assert (await form.get(query)).status == 404
    one_click = await form.post(b"List-Unsubscribe=One-Click", links["confirm"].encode())
    assert one_click.status == 404
    assert await form.listed() == []
    form.edge.wall_us += 86_400 * 1_000_000
    assert (await form.get(links["confirm"].encode())).status == 410
    assert (await form.post(links["confirm"].removeprefix("?").encode())).status == 410
    assert (await form.get(links["leave"].encode())).status == 200


async def test_links_are_limited_for_each_client(form: Form) -> None:
    await form.post(b"block=b1&email=v%40example.com")
    body = (await form.mail())["confirm"].removeprefix("?").encode()
    statuses = [(await form.post(body)).status for _ in range(SUBSCRIPTIONS_OF_CLIENT.units)]
    assert statuses == [200] * (SUBSCRIPTIONS_OF_CLIENT.units - 1) + [429]  # the form was the first
