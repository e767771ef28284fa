"""`/v1/system`: states of processes and actors, only for the operator with the scope admin."""

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
    defaults = {"name": "workers-0", "pid": 5, "running": True, "ready": True, "reasons": (),
             "restarts": 0, "last_error": "", "for_s": 3.5, "actors": (JOBS,)}  # fmt: skip
    return ProcessState(**defaults | fields)  # type: ignore[arg-type]


async def test_each_actor_is_returned_with_its_status() -> None:
    console = Console(processes=[process()])
    response = await console.call("GET", "/v1/system")
    assert response.status == 200
    assert response.json["ready"]
    (process_state,) = response.json["processes"]
    assert (process_state["name"], process_state["pid"], process_state["for_s"]) == (
        "workers-0",
        5,
        3.5,
    )
    (jobs,) = process_state["actors"]
    (worker,) = jobs["children"]
    assert (jobs["kind"], jobs["restarts"]) == ("supervisor", 1)
    assert (worker["mailbox"], worker["lag"], worker["last_error"]) == (2, {"oldest_s": 1.5}, "x")


async def test_one_process_that_is_not_ready_makes_the_system_not_ready() -> None:
    console = Console(processes=[process(), process(name="api-0", ready=False, reasons=("why",))])
    response = (await console.call("GET", "/v1/system")).json
    assert not response["ready"]
    assert response["processes"][1]["reasons"] == ["why"]


async def test_only_the_operator_may_read_it() -> None:
    console = Console(processes=[process()])
    console.keys.add("writer", Caller(1, 1, scopes=("read", "write")))
    for key, status in (("", 401), ("two", 403), ("writer", 403)):
        (await console.call("GET", "/v1/system", key=key)).problem(status)
    assert (await console.call("GET", "/v1/system?x=1")).problem(422).keys() == {"x"}


async def test_processes_that_hang_are_503(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    async def stuck(_: Console) -> None:
        await trio.sleep_forever()

    monkeypatch.setattr(Console, "system", stuck)
    (await Console().call("GET", "/v1/system")).problem(503)
