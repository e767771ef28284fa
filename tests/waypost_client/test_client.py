"""The client on a running engine."""

import socket
from collections.abc import Iterator

import msgspec
import pytest

from tests.kit.engines import Engine
from waypost_client import ApiError, UnreachableError, WaypostClient

pytestmark = pytest.mark.slow
TARGET = "https://example.com/client"


@pytest.fixture
def engine(running_engine: Engine) -> Engine:
    return running_engine


@pytest.fixture
def waypost(engine: Engine) -> Iterator[WaypostClient]:
    with WaypostClient(engine.console, engine.owner["api_key"]) as client:
        yield client


def test_a_link_from_creation_to_deletion(engine: Engine, waypost: WaypostClient) -> None:
    link = waypost.create_link(TARGET, title="First", tags=["a b"])
    profiles = [profile for profile in waypost.profiles() if profile.id == link.profile_id]
    assert len(profiles) == 1
    assert link.address == f"{engine.visitors}/{link.slug}"
    for same in (
        waypost.look_up_link(link.address),
        waypost.link(link.id),
        waypost.create_link(TARGET, if_exists="return"),
    ):
        # A worker may have looked at the target meanwhile.
        assert msgspec.structs.replace(same, health=link.health) == link

    changed = waypost.update_link(link.id, target=TARGET + "/2", if_version=link.version, notes="n")
    assert (changed.target, changed.notes, changed.title) == (TARGET + "/2", "n", "First")
    with pytest.raises(ApiError) as lost:
        waypost.update_link(link.id, if_version=link.version, notes="older")
    assert lost.value.status == 412

    assert waypost.stats(link.profile_id, link=link.id).totals["clicks"] == 0
    waypost.delete_link(link.id)
    with pytest.raises(ApiError) as gone:
        waypost.link(link.id)
    assert gone.value.status == 404


def test_a_list_is_read_to_its_end(waypost: WaypostClient) -> None:
    profile = waypost.create_profile("many")
    named = waypost.profile("@MANY")
    assert named is not None
    assert (named.id, named.handle, named.role) == (profile.id, "many", "owner")
    slugs = [f"s{number:03}" for number in range(101)]
    for slug in slugs:
        waypost.create_link(TARGET, profile.id, slug=slug, idempotency_key=slug)
    assert [link.slug for link in waypost.links(profile.id)] == slugs
    assert [link.slug for link in waypost.links(profile.id, q="s09", sort="-slug")] == slugs[
        99:89:-1
    ]


def test_a_link_is_put_by_its_external_id(waypost: WaypostClient) -> None:
    profile = waypost.profile("shop") or waypost.create_profile("shop")
    first = waypost.put_link(profile.id, "sku 1 ?", TARGET)
    again = waypost.put_link(profile.id, "sku 1 ?", TARGET, title="Again")
    assert (again.id, again.title, again.external_id) == (first.id, "Again", "sku 1 ?")


def test_a_refused_request_names_its_fields(waypost: WaypostClient) -> None:
    with pytest.raises(ApiError) as refused:
        waypost.create_link("javascript:alert(1)", slug="a b", title="x" * 1_000)
    assert refused.value.status == 422
    assert {error.field for error in refused.value.errors} == {"slug", "target", "title"}
    assert "\n" not in str(refused.value)


def test_an_unknown_key_is_refused(engine: Engine) -> None:
    with WaypostClient(engine.console, "wp_unknown") as client, pytest.raises(ApiError) as refused:
        list(client.profiles())
    assert refused.value.status == 401


def test_a_console_that_does_not_answer_is_named(engine: Engine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    for url in (f"http://127.0.0.1:{port}", "http://", "ftp://127.0.0.1"):
        with WaypostClient(url, "key") as client, pytest.raises(UnreachableError):
            client.link("1")
    with WaypostClient(engine.visitors, "key") as client, pytest.raises(ApiError) as refused:
        client.link("1")
    assert refused.value.status == 404
