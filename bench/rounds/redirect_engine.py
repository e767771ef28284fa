"""Engine whose redirects are measured: its links, pages and experiments, and a check after each run."""

import time
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from bench.kit.errors import BenchError
from bench.kit.link_set import LINKS_PER_PROFILE, SampleLink, sample_links
from bench.load import browsers
from bench.load.client import Client
from bench.load.engine_process import EngineProcess
from bench.load.exactness_check import EngineCounts, ExactnessCheck, read_counts
from bench.rounds.published_page import publish
from bench.rounds.side_by_side import ServerRun

PAGES: Final = 10
EXPERIMENTS: Final = 100
SPOT_CHECKS: Final = 20
_TESTED: Final = "tested"
_FRESH_LIMIT_S: Final = 10.0


class LinkSets(NamedTuple):
    """Links by what is tried with them. Those `of_pages` are in `plain`, too."""

    plain: list[SampleLink]
    of_pages: list[SampleLink]
    tested: list[SampleLink]

    @property
    def all(self) -> list[SampleLink]:
        return self.plain + self.tested

    def of(self, kind: str) -> list[SampleLink]:
        """Return the links that a kind of traffic goes to."""
        return {"page-clicks": self.of_pages, "experiment": self.tested}.get(kind, self.plain)


def link_sets(count: int) -> LinkSets:
    plain = sample_links(count)
    tested = [link._replace(handle=_TESTED) for link in sample_links(EXPERIMENTS)]
    return LinkSets(plain, plain[: PAGES * LINKS_PER_PROFILE], tested)


def variant_targets(link: SampleLink) -> tuple[str, str]:
    """Return the targets of a tested link's variants; none is the link's own."""
    return f"{link.target}&variant=a", f"{link.target}&variant=b"


class RedirectEngine:
    """Waypost as one of the servers: `checks` has the check of each run."""

    name: Final = "waypost"

    def __init__(self, engine: EngineProcess, links: LinkSets, connections: int) -> None:
        self._engine = engine
        self._links = links
        self._connections = connections
        self._experiments: dict[str, str] = {}  # by path
        self._profile_ids: list[str] = []
        self._before: EngineCounts | None = None
        self.checks: list[ExactnessCheck] = []
        self.url = engine.visitors_url
        self.pid = engine.pids("edge")[0]

    @property
    def core(self) -> str:
        """Return what answers plain visits."""
        samples = self._engine.console.metrics()["waypost_visitor_core_info"]
        return ", ".join(labels["core"] for labels, _ in samples)

    # ---- preparation ----------------------------------------------------------------------------

    def prepare(self, kinds: Iterable[str]) -> list[str]:
        """Make what the kinds of traffic need, and check each link, which loads it into the edge.

        Returns what is wrong.
        """
        kinds = set(kinds)
        self._engine.fill(self._links.all if "experiment" in kinds else self._links.plain)
        self._profile_ids = self._engine.profile_ids()
        failures = check_answers(self.url, self._links.plain)
        if "page-clicks" in kinds:
            for handle in dict.fromkeys(link.handle for link in self._links.of_pages):
                publish(self._engine.console, self._profile_id(handle))
        if "experiment" in kinds:
            failures += self._start_experiments()
        return failures

    def _profile_id(self, handle: str) -> str:
        (profile,) = self._engine.console.get(f"/v1/profiles?handle={handle}")["items"]
        return str(profile["id"])

    def _start_experiments(self) -> list[str]:
        console = self._engine.console
        profile_path = f"/v1/profiles/{self._profile_id(_TESTED)}"
        stored = console.get(f"{profile_path}/links?limit={EXPERIMENTS}")["items"]
        ids = {link["slug"]: link["id"] for link in stored}
        for link in self._links.tested:
            variants = [
                {"name": name, "weight": 1, "target": target}
                for name, target in zip("ab", variant_targets(link), strict=True)
            ]
            draft = {"name": link.slug, "kind": "destination", "link_id": ids[link.slug]}
            body = draft | {"variants": variants}
            id_ = console.post(f"{profile_path}/experiments", body)["id"]
            console.post(f"/v1/experiments/{id_}/start", {})
            self._experiments[link.path] = id_
        return self._wait_started()

    def _wait_started(self) -> list[str]:
        """Wait until the edge knows of all experiments."""
        until = time.monotonic() + _FRESH_LIMIT_S
        while failures := check_answers(self.url, self._links.tested, tested=True):
            if time.monotonic() > until:
                return failures
            time.sleep(0.1)
        return []

    # ---- runs -----------------------------------------------------------------------------------

    def before_run(self) -> None:
        self._engine.wait_committed()
        self._before = read_counts(self._engine, self._profile_ids)

    def after_run(self, run: ServerRun) -> list[str]:
        """Check that every click was counted once, and some of the links."""
        if self._before is None:
            raise BenchError("a run ended that had not begun")
        waited_s = self._engine.wait_committed()
        check = ExactnessCheck(
            completed=run.result.requests,
            before=self._before,
            after=read_counts(self._engine, self._profile_ids),
            errors=run.result.errors,
            connections=self._connections,
            seconds_to_commit=waited_s,
        )
        self.checks.append(check)
        failures = check.failures() + spot_check(self.url, self._links.plain)
        if self._experiments:
            failures += spot_check(self.url, self._links.tested, tested=True)
        return failures

    def check_exposures(self) -> list[str]:
        """Return what is wrong if an experiment has had visits and no visitor in it."""
        self._engine.wait_committed()
        id_ = next(iter(self._experiments.values()))
        results = self._engine.console.get(f"/v1/experiments/{id_}/results")
        exposed = sum(variant["visitors"] for variant in results["variants"])
        return [] if exposed else [f"no visitor was exposed to experiment {id_}"]


def spot_check(url: str, links: Sequence[SampleLink], *, tested: bool = False) -> list[str]:
    """Check some of the links."""
    return check_answers(url, links[:: max(1, len(links) // SPOT_CHECKS)], tested=tested)


def check_answers(url: str, links: Sequence[SampleLink], *, tested: bool = False) -> list[str]:
    """Request the links until one is wrong. Returns what is wrong; `tested` links lead to their variants."""
    client = Client(url)
    try:
        for link in links:
            answer = client.location(link.path, browsers.USER_AGENT)
            targets = variant_targets(link) if tested else (link.target,)
            if answer[0] != 302 or answer[1] not in targets:
                return [f"{url}{link.path} was answered {answer}"]
    finally:
        client.close()
    return []
