"""`/v1/system`: for the operator, with the scope admin, and for nobody else."""

import pytest
import trio
from trio.testing import MockClock

from engine.accounts.access import Caller
from engine.operations.actor_tree import ActorNode
from engine.operations.system import ProcessState
from tests.kit.consoles import Console

ACTOR = ActorNode(
    name="worker", kind="actor", running=True, mailbox=2, lag={"oldest_s": 1.5}, last_error="x"
)
JOBS = ActorNode(name="jobs", kind="supervisor", running=True, restarts=1, children=(ACTOR,))


def process(**fields: object) -> ProcessState:
    whole = {"name": "workers-0", "pid": 5, "running": True, "ready": True, "reasons": (),
             "restarts": 0, "last_error": "", "for_s": 3.5, "actors": (JOBS,)}  # fmt: skip
    return ProcessState(**whole | fields)  # type: ignore[arg-type]


async def test_each_actor_is_shown_with_what_it_tells() -> None:
    console = Console(processes=[process()])
    answered = await console.call("GET", "/v1/system")
    assert answered.status == 200
    assert answered.json["ready"]
    (shown,) = answered.json["processes"]
    assert (shown["name"], shown["pid"], shown["for_s"]) == ("workers-0", 5, 3.5)
    (jobs,) = shown["actors"]
    (worker,) = jobs["children"]
    assert (jobs["kind"], jobs["restarts"]) == ("supervisor", 1)
    assert (worker["mailbox"], worker["lag"], worker["last_error"]) == (2, {"oldest_s": 1.5}, "x")


async def test_one_that_is_not_ready_makes_the_whole_not_ready() -> None:
    console = Console(processes=[process(), process(name="api-0", ready=False, reasons=("why",))])
    answered = (await console.call("GET", "/v1/system")).json
    assert not answered["ready"]
    assert answered["processes"][1]["reasons"] == ["why"]


async def test_it_is_for_the_operator() -> None:
    console = Console(processes=[process()])
    console.keys.add("writer", Caller(1, 1, scopes=("read", "write")))
    for key, status in (("", 401), ("two", 403), ("writer", 403)):
        (await console.call("GET", "/v1/system", key=key)).problem(status)
    assert (await console.call("GET", "/v1/system?x=1")).problem(422).keys() == {"x"}


async def test_processes_that_hang_are_no_reason_to(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    async def stuck(_: Console) -> None:
        await trio.sleep_forever()

    monkeypatch.setattr(Console, "system", stuck)
    (await Console().call("GET", "/v1/system")).problem(503)
