"""`/v1/profiles/{id}/overview`: each thing that needs somebody, and who sees it."""

from typing import Any

from engine.jobs.job import AttemptEnd, JobDraft
from engine.links.health import CheckOutcome
from engine.links.health_ports import START
from engine.webhooks.circuit_breaker import FAILURE_THRESHOLD
from tests.kit.consoles import NOW, Console

VARIANTS = [{"name": name, "weight": 1, "target": f"https://{name}.example"} for name in ("a", "b")]


async def overview(console: Console, profile: str, key: str = "one") -> Any:
    answered = await console.call("GET", f"/v1/profiles/{profile}/overview", key=key)
    assert answered.status == 200, answered.body
    return answered.json


async def break_links(console: Console) -> None:
    await console.link_health.discover(START, 100)
    checks, _ = await console.link_health.claim(100)
    outcomes = [CheckOutcome(check, "broken", 404, "answers 404", 3, NOW) for check in checks]
    await console.link_health.record(outcomes)


async def let_a_job_die(console: Console, profile: str) -> None:
    draft = JobDraft(kind="links.check", tenant_id=1, payload={}, profile_id=int(profile))
    await console.jobs.enqueue([draft])
    (job,) = await console.jobs.claim("w", {"default": 1}, ["links.check"], 60)
    await console.jobs.end([AttemptEnd(job.lease, "dead", 0.0, "broken")])


async def test_a_new_profile_needs_nobody() -> None:
    console = Console()
    profile = (await console.profile())["id"]
    assert await overview(console, profile) == {
        "broken_links": [], "failing_webhooks": [], "invitations": [], "dead_jobs": [],
        "decided_experiments": [], "experiment": None,
    }  # fmt: skip


async def test_what_needs_somebody_is_there_and_unchanged_is_not_sent_again() -> None:
    console = Console()
    profile = (await console.profile())["id"]
    link = await console.link(profile)
    await break_links(console)
    await let_a_job_die(console, profile)
    path = f"/v1/profiles/{profile}"
    body = {"email": "ben@example.com", "role": "viewer"}
    await console.call("POST", f"{path}/invitations", body)
    answered = await console.call("GET", f"{path}/overview")
    shown = answered.json
    assert [(each["id"], each["health"]["status"]) for each in shown["broken_links"]] == [
        (link["id"], 404)
    ]
    assert [(each["kind"], each["failures"]) for each in shown["dead_jobs"]] == [("links.check", 1)]
    assert [each["email"] for each in shown["invitations"]] == ["ben@example.com"]
    again = await console.call("GET", f"{path}/overview", If_None_Match=answered.headers["ETag"])
    assert (again.status, again.body) == (304, b"")


async def test_a_webhook_that_was_disabled_is_there_and_others_are_not() -> None:
    console = Console()
    profile = (await console.profile())["id"]
    body = {"url": "https://example.com/hook", "event_types": ["link.created"]}
    for _ in range(2):
        created = await console.call("POST", f"/v1/profiles/{profile}/webhooks", body)
        assert created.status == 201, created.body
    entry = console.webhooks._webhooks[int(created.json["id"])]
    console.webhooks._change(entry, enabled=False, disabled_reason="it answered 410 Gone")
    assert (await overview(console, profile))["failing_webhooks"] == [
        {
            "id": created.json["id"],
            "url": "https://example.com/hook",
            "disabled_reason": "it answered 410 Gone",
            "failing_since": None,
        }
    ]


async def test_a_webhook_that_rests_is_there_until_it_sends() -> None:
    console = Console()
    profile = (await console.profile())["id"]
    body = {"url": "https://example.com/hook", "event_types": ["link.created"]}
    created = await console.call("POST", f"/v1/profiles/{profile}/webhooks", body)
    entry = console.webhooks._webhooks[int(created.json["id"])]
    entry.failing_since, entry.failures = NOW, FAILURE_THRESHOLD
    (hook,) = (await overview(console, profile))["failing_webhooks"]
    assert (hook["disabled_reason"], hook["failing_since"]) == (None, "2026-03-15T10:07:00Z")
    entry.failing_since, entry.failures = NOW, FAILURE_THRESHOLD - 1
    assert (await overview(console, profile))["failing_webhooks"] == []


async def test_decided_experiments_are_there_until_they_are_archived() -> None:
    console = Console()
    profile = (await console.profile())["id"]
    link = (await console.link(profile))["id"]
    path = f"/v1/profiles/{profile}/experiments"
    body = {"name": "Shop", "kind": "destination", "link_id": link, "variants": VARIANTS}
    id_ = (await console.call("POST", path, body)).json["id"]
    one = f"/v1/experiments/{id_}"
    await console.call("POST", f"{one}/start")
    assert (await overview(console, profile))["decided_experiments"] == []
    decided = await console.call("POST", f"{one}/decide", {"winner": "a"})
    assert decided.status == 200, decided.body
    (shown,) = (await overview(console, profile))["decided_experiments"]
    assert (shown["id"], shown["name"]) == (id_, "Shop")
    assert (await console.call("POST", f"{one}/archive")).status == 200
    assert (await overview(console, profile))["decided_experiments"] == []


async def test_the_experiment_that_runs_is_there_with_its_results() -> None:
    console = Console()
    profile = (await console.profile())["id"]
    link = (await console.link(profile))["id"]
    path = f"/v1/profiles/{profile}/experiments"
    ids = []
    for name in ("first", "second", "draft"):
        body = {"name": name, "kind": "destination", "link_id": link, "variants": VARIANTS}
        ids.append((await console.call("POST", path, body)).json["id"])
    assert (await overview(console, profile))["experiment"] is None
    for id_, actions in ((ids[0], ("start", "pause")), (ids[1], ("start",))):
        for action in actions:
            assert (await console.call("POST", f"/v1/experiments/{id_}/{action}")).status == 200
    experiment = (await overview(console, profile))["experiment"]
    assert experiment["experiment"]["name"] == "second"
    results = (await console.call("GET", f"/v1/experiments/{ids[1]}/results")).json
    assert experiment["results"] == results
    series = await console.call("GET", f"/v1/experiments/{ids[1]}/series?points=60")
    assert experiment["series"] == series.json
    await console.call("DELETE", f"/v1/experiments/{ids[1]}")
    await console.call("POST", f"/v1/experiments/{ids[1]}/pause")
    await console.call("POST", f"/v1/experiments/{ids[1]}/archive")
    assert (await overview(console, profile))["experiment"]["experiment"]["name"] == "first"


async def test_a_viewer_sees_what_their_role_may_and_a_stranger_nothing() -> None:
    console = Console()
    profile = (await console.profile())["id"]
    await console.link(profile)
    await break_links(console)
    body = {"email": "ben@example.com", "role": "viewer"}
    await console.call("POST", f"/v1/profiles/{profile}/invitations", body)
    path = f"/v1/profiles/{profile}/overview"
    (await console.call("GET", path, key="two")).problem(404)
    _, members = console.profiles.team_of(int(profile))
    members[2] = "viewer"
    shown = await overview(console, profile, "two")
    assert len(shown["broken_links"]) == 1
    assert shown["invitations"] == shown["failing_webhooks"] == []


async def test_at_most_twenty_of_each_and_invitations_that_end_first() -> None:
    console = Console()
    profile = (await console.profile())["id"]
    for number in range(21):
        await console.link(profile, f"l{number}", target=f"https://{number}.example/")
    await break_links(console)
    for number in range(21):
        body = {"email": f"p{number}@example.com", "role": "viewer", "expires_in_days": 22 - number}
        await console.call("POST", f"/v1/profiles/{profile}/invitations", body)
    shown = await overview(console, profile)
    assert len(shown["broken_links"]) == len(shown["invitations"]) == 20
    assert shown["invitations"][0]["email"] == "p20@example.com"


async def test_a_list_of_profiles_says_the_caller_s_role_and_finds_a_handle() -> None:
    console = Console()
    profile = (await console.profile("anna"))["id"]
    await console.profile("ben")
    _, members = console.profiles.team_of(int(profile))
    members[2] = "editor"
    for key, role in (("one", "owner"), ("two", "editor")):
        listed = (await console.call("GET", "/v1/profiles?handle=ANNA", key=key)).json
        assert [(each["id"], each["role"]) for each in listed["items"]] == [(profile, role)]
    assert (await console.call("GET", "/v1/profiles?handle=ben", key="two")).json["items"] == []
    for bad in ("", "a" * 33, "%00"):
        refused = await console.call("GET", f"/v1/profiles?handle={bad}")
        assert refused.problem(422).keys() == {"handle"}
