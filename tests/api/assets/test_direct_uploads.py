"""Uploads by way of the object store: signed, sent, completed, and what is refused."""

from datetime import timedelta
from urllib.parse import urlsplit

import pytest

from engine.assets.asset import MAX_UPLOAD_BYTES
from engine.assets.direct_upload import SIGNED_FOR_S
from engine.common.json_forms import time_text
from storage.assets.memory_uploads import MemoryDirectUploads
from tests.api.assets.test_assets import FILE, GivenDecoder
from tests.kit.consoles import NOW, Answered, Console


class World:
    """A console with a store that signs, and a profile."""

    def __init__(self, console: Console, path: str) -> None:
        self.console, self.path = console, path
        self.uploads = path.replace("assets", "asset-uploads")
        self.console.uploads._decoder = GivenDecoder()
        assert console.direct_uploads is not None
        self.store: MemoryDirectUploads = console.direct_uploads

    async def sent(self, content: bytes = FILE) -> str:
        """Sign an upload and send a file. Returns its id."""
        signed = (await self.console.call("POST", self.uploads)).json
        self.store.objects[urlsplit(signed["url"]).path[1:]] = content
        upload_id: str = signed["id"]
        return upload_id

    async def complete(self, upload_id: str, query: str = "", key: str = "one") -> Answered:
        path = f"{self.uploads}/{upload_id}/complete{query}"
        return await self.console.call("POST", path, key=key)


@pytest.fixture
async def world() -> World:
    console = Console()
    profile = await console.profile()
    return World(console, f"/v1/profiles/{profile['id']}/assets")


async def test_an_upload_is_signed_sent_and_completed(world: World) -> None:
    signed = await world.console.call("POST", world.uploads)
    assert (signed.status, signed.headers["Cache-Control"]) == (200, "no-store")
    assert signed.json["method"] == "PUT"
    assert signed.json["expires_at"] == time_text(NOW + timedelta(seconds=SIGNED_FOR_S))
    (await world.complete(signed.json["id"])).problem(404)  # nothing is sent yet
    upload_id = await world.sent()
    asset = await world.complete(upload_id, "?name=studio.jpg")
    assert (asset.status, asset.json["name"]) == (201, "studio.jpg")
    assert (await world.console.call("GET", asset.headers["Location"])).json == asset.json
    again = await world.complete(upload_id)
    assert (again.status, again.json) == (200, asset.json)


async def test_what_is_refused_is_deleted_from_the_store(world: World) -> None:
    for content, status in ((b"<svg/>", 422), (bytes(MAX_UPLOAD_BYTES + 1), 413)):
        upload_id = await world.sent(content)
        (await world.complete(upload_id)).problem(status)
        assert world.store.objects == {}
        (await world.complete(upload_id)).problem(404)
    assert world.console.asset_files.files == {}
    (await world.complete("no-such")).problem(404)
    (await world.complete("0" * 32, "?x=1")).problem(422)


async def test_strangers_and_other_profiles_complete_nothing(world: World) -> None:
    upload_id = await world.sent()
    (await world.console.call("POST", world.uploads, key="two")).problem(404)
    (await world.complete(upload_id, key="two")).problem(404)
    other = await world.console.profile("other")
    path = f"/v1/profiles/{other['id']}/asset-uploads/{upload_id}/complete"
    (await world.console.call("POST", path)).problem(404)
    assert len(world.store.objects) == 1


async def test_a_store_that_is_away_leaves_the_upload_to_be_completed_later(world: World) -> None:
    upload_id = await world.sent()
    world.store.away = True
    (await world.complete(upload_id)).problem(503)
    (await world.console.call("POST", world.uploads)).problem(503)
    world.store.away = False
    assert (await world.complete(upload_id)).status == 201


async def test_a_folder_signs_nothing_and_says_what_to_do() -> None:
    console = Console()
    console.direct_uploads = None
    console.app = console.create_app()
    profile = await console.profile()
    path = f"/v1/profiles/{profile['id']}/asset-uploads"
    for target in (path, f"{path}/{'0' * 32}/complete"):
        answer = await console.call("POST", target)
        answer.problem(409)
        assert b"signs no addresses; send it to /assets" in answer.body
    (await console.call("POST", path, key="two")).problem(404)
