"""File descriptors of a process: the limit is raised as far as the system allows, and no further."""

import resource

import pytest

from api.processes.descriptors import RESERVED, connections_within_limit

UNLIMITED = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("soft", "hard", "raised_to", "connections"),
    [
        (1024, 524_288, 10_000 + RESERVED, 10_000),
        (1024, UNLIMITED, 10_000 + RESERVED, 10_000),
        (65_536, 65_536, None, 10_000),
        (UNLIMITED, UNLIMITED, None, 10_000),
        (1024, 4096, 4096, 4096 - RESERVED),
        (100, 100, 100, 1),
    ],
)
def test_connections_are_as_many_as_the_system_has_descriptors_for(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    soft: int,
    hard: int,
    raised_to: int | None,
    connections: int,
) -> None:
    limits: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda _, pair: limits.append(pair))
    assert connections_within_limit(10_000) == connections
    assert limits == ([] if raised_to is None else [(raised_to, hard)])
    assert bool(caplog.records) == (connections < 10_000)
