"""`/v1/jobs` on the twin of the store: listing, reading, retrying and cancelling jobs."""

import pytest

from engine.accounts.access import Caller
from engine.jobs.job import AttemptEnd, Job, JobDraft
from tests.kit.consoles import Console


async def enqueued(console: Console, **fields: object) -> str:
    draft = JobDraft(**{"kind": "links.check", "tenant_id": 1, "payload": {"secret": 1}} | fields)  # type: ignore[arg-type]
    return str((await console.jobs.enqueue([draft]))[0].job_id)


async def running(console: Console) -> Job:
    await enqueued(console)
    (job,) = await console.jobs.claim("w", {"default": 1}, ["links.check"], 60)
    return job


async def test_a_job_is_shown_without_its_payload() -> None:
    console = Console()
    job_id = await enqueued(console, profile_id=7)
    response = await console.call("GET", f"/v1/jobs/{job_id}")
    assert response.status == 200
    assert response.json == {
        "id": job_id, "profile_id": "7", "kind": "links.check", "queue": "default", "state": "queued",
        "priority": 0, "attempt": 0, "failures": 0, "max_attempts": 10,
        "run_at": "2026-03-15T10:07:00Z", "created_at": "2026-03-15T10:07:00Z", "started_at": None,
        "finished_at": None, "cancel_requested": False, "progress": None, "last_error": "",
    }  # fmt: skip


async def test_a_list_has_the_tenant_s_jobs_that_match_the_filter() -> None:
    console = Console()
    mine = [await enqueued(console, kind=kind) for kind in ("a", "b", "a")]
    await enqueued(console, tenant_id=2)
    await enqueued(console, tenant_id=0)
    await console.call("POST", f"/v1/jobs/{mine[0]}/cancel")

    async def ids(query: str) -> list[str]:
        response = await console.call("GET", f"/v1/jobs{query}")
        assert response.status == 200, response.body
        return [job["id"] for job in response.json["items"]]

    assert await ids("") == mine[::-1]
    assert await ids("?state=queued") == [mine[2], mine[1]]
    assert await ids("?state=queued&kind=a") == [mine[2]]
    assert await ids("?profile=5") == []
    page = (await console.call("GET", "/v1/jobs?limit=2")).json
    assert await ids(f"?limit=2&cursor={page['next_cursor']}") == [mine[0]]


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("state=gone", {"state"}),
        ("kind=A&profile=x&limit=0", {"kind", "profile", "limit"}),
        ("tenant=1", {"tenant"}),
    ],
)
async def test_bad_parameters_are_named(query: str, fields: set[str]) -> None:
    response = await Console().call("GET", f"/v1/jobs?{query}")
    assert response.problem(422).keys() == fields


async def test_cancel_and_retry() -> None:
    console = Console()
    job = await running(console)
    path = f"/v1/jobs/{job.id}"
    cancelled = (await console.call("POST", f"{path}/cancel")).json
    assert (cancelled["state"], cancelled["cancel_requested"]) == ("running", True)
    (await console.call("POST", f"{path}/retry")).problem(409)
    await console.jobs.end([AttemptEnd(job.lease, "failed", 0, "broken")])
    (await console.call("POST", f"{path}/cancel")).problem(409)
    again = await console.call("POST", f"{path}/retry")
    assert again.status == 200
    assert (again.json["state"], again.json["last_error"]) == ("queued", "broken")


@pytest.mark.parametrize(
    ("method", "path_end"), [("GET", ""), ("POST", "/retry"), ("POST", "/cancel")]
)
async def test_jobs_of_another_tenant_do_not_exist(method: str, path_end: str) -> None:
    console = Console()
    for job_id in [await enqueued(console, tenant_id=2), await enqueued(console, tenant_id=0), "x"]:
        (await console.call(method, f"/v1/jobs/{job_id}{path_end}")).problem(404)
    mine = await enqueued(console)
    console.keys.add("reader", Caller(1, 1, scopes=("read",)))
    response = await console.call(method, f"/v1/jobs/{mine}{path_end}", key="reader")
    assert response.status == (403 if path_end else 200)
