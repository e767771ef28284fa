"""The state of the engine's processes: missing ones, restarted ones, and crash loops."""

from engine.operations.actor_tree import CRASH_LOOP_COUNT, ActorNode, crash_looping, walk
from engine.operations.health import Component
from engine.operations.metrics import ProcessMetrics
from engine.operations.system import LAUNCHER, ProcessStatus, process_states


def node(name: str, *children: ActorNode, **fields: object) -> ActorNode:
    kind = "supervisor" if children else "actor"
    return ActorNode(**{"name": name, "kind": kind, "running": True, "children": children} | fields)  # type: ignore[arg-type]


def status(tree: ActorNode, *components: Component, pid: int = 7) -> ProcessStatus:
    return ProcessStatus(tree.name, components, ProcessMetrics("edge", pid, ()), tree)


LOOP = node("rescue", crashes=CRASH_LOOP_COUNT, last_error="KeyError: 'x'", running=False)
TREE = node(
    "workers-0", node("jobs", node("worker", crashes=CRASH_LOOP_COUNT - 1), LOOP), node("status")
)


def test_every_node_has_a_path() -> None:
    assert [path for path, _ in walk(TREE)] == [
        "workers-0", "workers-0/jobs", "workers-0/jobs/worker", "workers-0/jobs/rescue",
        "workers-0/status",
    ]  # fmt: skip


def test_a_crash_loop_is_named_with_its_last_error() -> None:
    (component,) = crash_looping(TREE)
    assert component == (
        "workers-0/jobs/rescue",
        False,
        "crashed 3 times within a minute, last: KeyError: 'x'",
    )


def test_answering_missing_and_restarted_processes_have_their_states() -> None:
    launcher = node(
        LAUNCHER,
        node("edge-0", kind="process", restarts=2, last_error="signal SIGKILL"),
        node("api-0", kind="process", restarts=1, last_error="exit code 1", running=False),
    )
    states = process_states(
        [
            status(node("edge-0", node("server"), for_s=5.0), pid=11),
            status(TREE, Component("workers-0", True), Component("a", False, "b"), pid=12),
            status(launcher),
        ],
        ["edge-0", "workers-0", "edge-1"],
        {"api-0": "jobs/x crashed", "workers-0": "KeyError: 'y'"},
    )
    edge, workers, edge_1, api = states
    assert (edge.name, edge.pid, edge.ready, edge.restarts) == ("edge-0", 11, True, 2)
    assert (edge.for_s, edge.last_error) == (5.0, "signal SIGKILL")
    assert [actor.name for actor in edge.actors] == ["server"]
    assert (workers.running, workers.ready) == (True, False)
    assert workers.reasons == ("a: b", "workers-0: was restarted, as it ended by KeyError: 'y'")
    assert (edge_1.running, edge_1.pid, edge_1.reasons) == (False, 0, ("edge-1: does not answer",))
    assert api.reasons == ("api-0: does not answer; ended by jobs/x crashed",)
    assert (api.restarts, api.last_error) == (1, "jobs/x crashed")
