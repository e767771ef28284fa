"""Uploads: what becomes an asset, what is refused, and what an upload may not use up."""

from typing import Any

import pytest
import trio

import api.assets.assets as routes
import api.assets.upload_body as upload_body
from engine.assets.asset import MAX_UPLOAD_BYTES, Picture, Rendition
from engine.common.errors import FieldError, InvalidError
from tests.kit.consoles import VISITORS, Answered, Console
from tests.kit.pictures import SVG, encoded, good, scene

FILE = b"a picture"


class GivenDecoder:
    """A decoder that makes the same rendition of everything that begins with FILE."""

    def __init__(self) -> None:
        self.decoded = 0
        self.at_once = 0
        self.most_at_once = 0
        self.hold: trio.Event | None = None

    async def decode(self, upload: Any) -> Picture:
        upload.seek(0)
        if not upload.read().startswith(FILE):
            raise InvalidError([FieldError("body", "is no picture")])
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)
        if self.hold is not None:
            await self.hold.wait()
        self.at_once -= 1
        self.decoded += 1
        rendition = Rendition(width=64, height=48, format="jpg", bytes=4)
        return Picture(
            source="jpeg", width=64, height=48, renditions=(rendition,), files={"64.jpg": b"JPEG"}
        )


class World:
    def __init__(self) -> None:
        self.console = Console()
        self.decoder = GivenDecoder()
        self.console.uploads._decoder = self.decoder
        self.path = ""

    async def upload(self, body: bytes = FILE, query: str = "", **headers: str) -> Answered:
        if not self.path:
            profile = await self.console.profile()
            self.path = f"/v1/profiles/{profile['id']}/assets"
        headers.setdefault("Content_Type", "image/png")
        return await self.console.call("POST", self.path + query, body, **headers)


def form(*parts: bytes, boundary: str = "b") -> tuple[bytes, str]:
    body = b"".join(b"--b\r\n" + part + b"\r\n" for part in parts) + b"--b--\r\n"
    return body, f"multipart/form-data; boundary={boundary}"


def file_part(content: bytes = FILE, name: str = "C:\\\\pictures\\\\a.png") -> bytes:
    head = f'Content-Disposition: form-data; name="file"; filename="{name}"\r\n'
    return head.encode() + b"Content-Type: text/html\r\n\r\n" + content


async def test_an_upload_is_an_asset_that_is_read_listed_and_deleted() -> None:
    world = World()
    created = await world.upload(query="?name=studio.png")
    assert created.status == 201, created.body
    asset = created.json
    assert (asset["name"], asset["content_type"]) == ("studio.png", "image/jpeg")
    assert asset["url"].startswith(f"{VISITORS}/a/")
    assert asset["renditions"][0]["url"] == asset["url"] + "-64.jpg"
    path = created.headers["Location"]
    assert path == f"{world.path}/{asset['id']}"
    console = world.console
    assert (await console.call("GET", path)).json == asset
    listed = (await console.call("GET", world.path)).json
    assert listed == {"items": [asset], "next_cursor": None}
    hash_ = asset["url"].rpartition("/")[2]
    assert console.asset_files.files[hash_] == {"64.jpg": b"JPEG", "main.jpg": b"JPEG"}
    assert (await console.call("DELETE", path)).status == 204
    (await console.call("GET", path)).problem(404)


async def test_a_thumbnail_is_the_smallest_file_for_members_only() -> None:
    world = World()
    path = (await world.upload()).headers["Location"] + "/thumbnail"
    console = world.console
    shown = await console.call("GET", path)
    assert (shown.status, shown.body, shown.headers["Content-Type"]) == (200, b"JPEG", "image/jpeg")
    assert (await console.call("GET", path, If_None_Match=shown.headers["ETag"])).status == 304
    (await console.call("GET", path, key="two")).problem(404)
    (await console.call("GET", path + "?width=9")).problem(422)
    console.asset_files.files.clear()
    (await console.call("GET", path)).problem(503)


async def test_usage_is_told_with_its_limits() -> None:
    world = World()
    await world.upload()
    usage = await world.console.call("GET", world.path.replace("assets", "asset-usage"))
    assert usage.json == {"assets": 1, "bytes": 4, "max_assets": 500, "max_bytes": 100 * 1024**2}
    (
        await world.console.call("GET", world.path.replace("assets", "asset-usage"), key="two")
    ).problem(404)


async def test_the_same_file_is_decoded_once_and_is_the_same_asset() -> None:
    world = World()
    first, again = await world.upload(), await world.upload(Content_Type="text/plain")
    assert (first.status, again.status) == (201, 200)
    assert first.json == again.json
    other = (await world.console.profile("berta"))["id"]
    shared = await world.console.call("POST", f"/v1/profiles/{other}/assets", FILE)
    assert shared.status == 201
    assert shared.json["url"] == first.json["url"]
    assert world.decoder.decoded == 1


async def test_an_equal_upload_makes_files_again_that_were_lost() -> None:
    world = World()
    asset = (await world.upload()).json
    files = world.console.asset_files.files
    (hash_,) = files
    lost = files.pop(hash_)
    again = await world.upload()
    assert (again.status, again.json) == (200, asset)
    assert files == {hash_: lost}
    assert world.decoder.decoded == 2


async def test_a_form_with_one_file_is_an_upload_with_its_name() -> None:
    world = World()
    note = b'Content-Disposition: form-data; name="note"\r\n\r\nhello'
    body, type_ = form(note, file_part(FILE + b"\r\n--b not the end"))
    created = await world.upload(body, Content_Type=type_)
    assert created.status == 201, created.body
    assert created.json["name"] == "a.png"


@pytest.mark.parametrize(
    ("body", "type_", "status"),
    [
        (b"", "image/png", 422),
        (*form(), 422),
        (*form(file_part(b"")), 422),
        (*form(file_part(), file_part()), 422),
        (*form(file_part(b"no picture")), 422),
        (b"--c\r\nhello", "multipart/form-data; boundary=b", 400),
        (form(file_part())[0][:-10], "multipart/form-data; boundary=b", 400),
        (b"--b\r\nbroken head\r\n", "multipart/form-data; boundary=b", 400),
        (b"x", "multipart/form-data", 400),
        (*form(b'Content-Disposition: form-data; name="n"\r\n\r\n' + bytes(20_000)), 413),
        (*form(*[file_part()[:60] + b"\r\n\r\n"] * 20), 413),
    ],
)
async def test_a_body_without_one_picture_is_refused(body: bytes, type_: str, status: int) -> None:
    refused = await World().upload(body, Content_Type=type_)
    errors = refused.problem(status)
    assert status != 422 or errors.keys() == {"body"}


async def test_a_file_that_is_too_large_is_refused_by_its_length_and_by_its_bytes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    (await world.upload(bytes(MAX_UPLOAD_BYTES + 20 * 1024))).problem(413)
    monkeypatch.setattr(upload_body, "MAX_UPLOAD_BYTES", 100)
    (await world.upload(bytes(101))).problem(413)
    # The other routes keep their own limit.
    console = world.console
    (await console.call("POST", "/v1/profiles", bytes(2 << 20))).problem(413)


async def test_a_bad_name_and_a_stranger_are_refused_before_the_body_is_read() -> None:
    world = World()
    await world.upload()
    assert (await world.upload(query="?name=a%E2%80%AEb")).problem(422).keys() == {"name"}
    assert (await world.upload(query="?x=1")).problem(422).keys() == {"x"}
    for method in ("POST", "GET"):
        (await world.console.call(method, world.path, FILE, key="two")).problem(404)


async def test_a_store_that_is_away_is_503_and_leaves_no_asset() -> None:
    world = World()
    world.console.asset_files.away = True
    refused = await world.upload()
    refused.problem(503)
    assert refused.headers["Retry-After"]
    assert (await world.console.call("GET", world.path)).json["items"] == []
    world.console.asset_files.away = False
    assert (await world.upload()).status == 201


async def test_two_pictures_are_decoded_at_once_and_the_others_wait(autojump_clock: object) -> None:
    world = World()
    await world.upload()
    world.decoder.hold = trio.Event()
    answers: list[int] = []

    async def upload(number: int) -> None:
        answers.append((await world.upload(FILE + b"%d" % number)).status)

    async with trio.open_nursery() as nursery:
        for number in range(6):
            nursery.start_soon(upload, number)
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert world.console.uploads.samples()[0].value == 4
        world.decoder.hold.set()
    assert (answers, world.decoder.most_at_once) == ([201] * 6, 2)


async def test_an_upload_whose_turn_does_not_come_is_503(autojump_clock: object) -> None:
    world = World()
    await world.upload()
    world.decoder.hold = trio.Event()
    async with trio.open_nursery() as nursery:
        for number in range(2):
            nursery.start_soon(world.upload, FILE + b"%d" % number)
        await trio.testing.wait_all_tasks_blocked(0.05)
        (await world.upload(FILE + b"2")).problem(503)
        world.decoder.hold.set()


async def test_a_tenant_has_a_bounded_number_of_uploads(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: object
) -> None:
    monkeypatch.setattr(routes, "MAX_OF_TENANT", 1)
    world = World()
    await world.upload()
    world.decoder.hold = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(world.upload, FILE + b"1")
        await trio.testing.wait_all_tasks_blocked(0.05)
        (await world.upload(FILE + b"2")).problem(429)
        world.decoder.hold.set()


@pytest.mark.slow
async def test_real_files_are_judged_by_what_they_are() -> None:
    console = Console()
    path = f"/v1/profiles/{(await console.profile())['id']}/assets"
    photo = await console.call("POST", path, encoded(scene(), "PNG"), Content_Type="text/html")
    assert photo.status == 201, photo.body
    assert photo.json["content_type"] == "image/png"
    assert {each["format"] for each in photo.json["renditions"]} == {"avif", "webp", "jpg"}
    svg = await console.call("POST", path, SVG, Content_Type="image/png")
    assert "SVG" in svg.problem(422)["body"]
    (await console.call("POST", path, good("JPEG")[:400])).problem(422)
