"""Actors as a tree: paths, and crash loops."""

from engine.operations.actor_tree import ActorNode, crash_looping, walk


def actor(name: str, crashes: int = 0, *children: ActorNode) -> ActorNode:
    return ActorNode(
        name=name,
        kind="supervisor" if children else "actor",
        running=True,
        crashes=crashes,
        last_error="ValueError: no" if crashes else "",
        children=children,
    )


def test_three_crashes_within_a_minute_are_a_crash_loop() -> None:
    tree = actor("workers-0", 0, actor("jobs", 0, actor("scheduler", 3), actor("rescue", 2)))
    (component,) = crash_looping(tree)
    assert (component.name, component.ready) == ("workers-0/jobs/scheduler", False)
    assert component.reason == "crashed 3 times within a minute, last: ValueError: no"


def test_each_node_has_its_path() -> None:
    tree = actor("edge-1", 0, actor("visitors", 0, actor("server")), actor("shipper"))
    assert [path for path, _ in walk(tree)] == [
        "edge-1", "edge-1/visitors", "edge-1/visitors/server", "edge-1/shipper",
    ]  # fmt: skip
