"""Verified domains as edges read them from Postgres."""

import pytest

from engine.links.domain import DomainDraft, NewDomainDraft, TxtAnswer, look_result, record_value
from engine.links.profile import ProfileDraft
from engine.visits.domain_host import DomainHost
from storage.links.domain_looks import PostgresDomainLookStore
from storage.links.domains import PostgresDomainStore
from storage.visits.domains import PostgresDomainSource
from tests.kit.hosted import hosted_run
from tests.kit.stores import OpenDatabase, Stores

pytestmark = [pytest.mark.trio(run=hosted_run), pytest.mark.slow]


@pytest.mark.parametrize("place", ["postgres"], indirect=True)
async def test_an_edge_reads_verified_domains_and_learns_of_each_change(
    stores: Stores, open_database: OpenDatabase
) -> None:
    source = PostgresDomainSource(await open_database("waypost_edge"))
    store = PostgresDomainStore(await open_database("waypost_app"))
    looks = PostgresDomainLookStore(await open_database("waypost_aggregator"))
    me = stores.caller
    profile = await stores.profiles.create_profile(me, ProfileDraft(handle="ada"))
    versions = [await source.version()]
    domain = await store.create_domain(
        me, profile.id, NewDomainDraft(host="links.example.com", root_target="https://a.example/")
    )
    assert await source.version() == versions[0]  # it is not verified
    assert await source.domains(10) == {}

    answer = TxtAnswer((record_value(domain.token),))
    await looks.record([look_result(due, answer) for due in await looks.claim(10)])
    versions.append(await source.version())
    expected = DomainHost(b"ada", b"https://a.example/", b"")
    assert await source.domains(10) == {b"links.example.com": expected}
    assert await source.domains(0) == {}
    await store.update_domain(me, domain.id, lambda _: DomainDraft(slugs=("dots",)))
    versions.append(await source.version())
    await stores.profiles.update_profile(me, profile.id, ProfileDraft(handle="eve"))
    versions.append(await source.version())
    expected = DomainHost(b"eve", b"", b"", frozenset({"dots"}))
    assert await source.domains(10) == {b"links.example.com": expected}
    await store.update_domain(me, domain.id, lambda _: DomainDraft())
    versions.append(await source.version())
    await store.delete_domain(me, domain.id)
    assert await source.version() == versions[0]
    assert len(set(versions)) == 5
