"""Checks of domains: each due one is looked at, and its state recorded."""

from types import SimpleNamespace
from typing import Any

import trio
from trio.testing import MockClock

from actors.links.domain_checks import CONCURRENCY, DomainChecks
from engine.accounts.access import Caller
from engine.links.domain import NewDomainDraft, TxtAnswer, record_value
from engine.links.profile import ProfileDraft
from storage.links.memory_domains import MemoryDomains
from storage.links.memory_profiles import MemoryProfiles

ME = Caller(1, 1)
CONTEXT: Any = SimpleNamespace(stopping=False)


class ScriptedRecords:
    """TxtRecords from a dict, one second a look."""

    def __init__(self) -> None:
        self.answers: dict[str, TxtAnswer] = {}
        self.looks_at_once = self.most_at_once = 0

    async def texts(self, name: str) -> TxtAnswer:
        self.looks_at_once += 1
        self.most_at_once = max(self.most_at_once, self.looks_at_once)
        await trio.sleep(1)
        self.looks_at_once -= 1
        return self.answers.get(name, TxtAnswer())


async def test_due_domains_are_looked_at_a_few_at_a_time(
    autojump_clock: MockClock,
) -> None:
    profiles, records = MemoryProfiles(), ScriptedRecords()
    store = MemoryDomains(profiles)
    checks = DomainChecks(store, records)
    domains = []
    for handle in ("ada", "bob"):
        profile = await profiles.create_profile(ME, ProfileDraft(handle=handle))
        for number in range(20):
            draft = NewDomainDraft(host=f"d{number}.{handle}.example")
            domains.append(await store.create_domain(ME, profile.id, draft))
    right = domains[7]
    value = record_value(right.token)
    records.answers[f"_waypost.{right.host}"] = TxtAnswer((value,))
    await checks.run(CONTEXT)
    states = [(await store.domain(ME, domain.id)).state for domain in domains]
    assert [state for state in states if state == "verified"] == [states[7]]
    assert records.most_at_once == CONCURRENCY
    assert checks.results == {"verified": 1, "pending": 39}
    samples = {sample.labels: sample.value for sample in checks.samples()}
    assert sorted(samples.values()) == [1, 39]
    await checks.run(CONTEXT)
    assert checks.results == {"verified": 1, "pending": 39}  # none is due
