"""Pictures through a real engine: from uploads to visitors, killed in between, and erased to the last byte."""

import itertools
import logging
import re
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from actors.assets.collector import AssetCollector
from engine.assets.ports import AssetFiles
from storage.assets.direct_uploads import direct_uploads
from storage.assets.local_files import LocalAssetFiles
from storage.assets.object_store import ObjectAssetFiles
from storage.assets.unused import PostgresUnusedFilesStore
from storage.embedded import EmbeddedServers
from storage.postgres.database import Database
from tests.conftest import on_connection
from tests.kit.engines import Engine, eventually
from tests.kit.hosted import hosted_run
from tests.kit.pictures import encoded, scene

pytestmark = [pytest.mark.large, pytest.mark.timeout(600)]
BROWSER = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0"}
EXPIRE = "UPDATE waypost.asset_files SET writable_until = now()"
STORED = (
    "SELECT address FROM waypost.assets UNION SELECT address FROM waypost.page_cards "
    "UNION SELECT address FROM waypost.link_cards WHERE address IS NOT NULL ORDER BY 1"
)
MESSENGER = {"User-Agent": "WhatsApp/2.23.20.0"}
DRAWN_WITHIN_S = 150.0  # a minute on an idle machine


def upload(engine: Engine, profile_id: str, content: bytes) -> dict[str, Any] | None:
    """Return the asset of an upload; None if the engine ended meanwhile."""
    try:
        with engine.api() as api:
            path = f"/v1/profiles/{profile_id}/assets"
            answer = api.post(path, content=content, timeout=60)
    except httpx.HTTPError:
        return None
    assert answer.status_code in (200, 201), answer.text
    asset: dict[str, Any] = answer.json()
    return asset


def collected(folder: Path, files: AssetFiles | None = None) -> list[str]:
    """Run the collector over a stopped engine's data. Returns the hashes that the database names."""
    files = files or LocalAssetFiles(folder / "assets")
    with EmbeddedServers(folder) as servers:
        url = servers.database_url
        on_connection(url, lambda connection: connection.execute(EXPIRE))

        async def collect() -> None:
            database = await Database.open(
                url, role="waypost_aggregator", size=2, query_timeout_ms=10_000
            )
            try:
                await AssetCollector(PostgresUnusedFilesStore(database), files).collect()
            finally:
                await database.close()

        hosted_run(collect)
        read: Callable[[Any], Awaitable[list[Any]]] = lambda connection: connection.fetch(STORED)  # noqa: E731
        return [row["address"] for row in on_connection(url, read)]


def stored_hashes(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "assets").glob("*/*") if any(path.iterdir()))


def test_a_picture_goes_from_its_upload_to_visitors_and_is_erased_with_its_profile(
    tmp_path: Path,
) -> None:
    engine = Engine(tmp_path / "data")
    try:
        with engine.api() as api:
            profile_id = api.post("/v1/profiles", json={"handle": "ada"}).json()["id"]
            asset = upload(engine, profile_id, encoded(scene(1600, 1200), "PNG"))
            assert asset is not None
            for rendition in asset["renditions"]:
                seen = httpx.get(rendition["url"], headers=BROWSER)
                assert (seen.status_code, len(seen.content)) == (200, rendition["bytes"])
            page = f"/v1/profiles/{profile_id}/page"
            draft = api.get(f"{page}/draft").json() | {"picture": asset["id"]}
            assert api.put(f"{page}/draft", json=draft).status_code == 200
            assert api.post(f"{page}/publish").is_success
            assert api.delete(f"/v1/profiles/{profile_id}/assets/{asset['id']}").status_code == 409
            time.sleep(2)
            shown = httpx.get(f"{engine.visitors}/@ada", headers=BROWSER).text
            assert asset["url"].rpartition("/")[2] in shown
            assert api.post(f"/v1/profiles/{profile_id}/erasure").status_code == 202
    finally:
        engine.stop()
    assert collected(engine.folder) == []
    assert [path for path in (engine.folder / "assets").rglob("*") if path.is_file()] == []


def test_an_engine_that_is_killed_amid_uploads_leaves_no_orphan(tmp_path: Path) -> None:
    """Killed after 0.2 to 2 s of ten uploads, again and again: what is stored is what the database names."""
    folder, numbers = tmp_path / "data", itertools.count()
    for delay_s in (0.2, 0.6, 1.2, 2.0):
        engine = Engine(folder)
        with engine.api() as api:
            profiles = api.get("/v1/profiles").json()["items"]
            profile_id = (profiles or [api.post("/v1/profiles", json={"handle": "ada"}).json()])[0][
                "id"
            ]
        contents = [encoded(scene(900, 700).rotate(next(numbers)), "JPEG") for _ in range(10)]
        threads = [
            threading.Thread(target=partial(upload, engine, profile_id, content))
            for content in contents
        ]
        for thread in threads:
            thread.start()
        time.sleep(delay_s)
        engine.kill()
        for thread in threads:
            thread.join()
    assert collected(folder) == stored_hashes(folder)


class Store:
    """The place of the files: the folder, or a bucket of moto's S3, to which pictures are sent directly."""

    def __init__(self, folder: Path, s3_url: str = "") -> None:
        self.folder, self.s3_url = folder, s3_url
        self.variables: dict[str, str] = {}
        self.files: AssetFiles | None = None
        if s3_url:
            self.variables = {"WAYPOST_STORAGE_URL": "s3://pictures/live"}
            self.files = ObjectAssetFiles("s3://pictures/live")

    def hashes(self) -> list[str]:
        """Return the hashes of the files that are stored."""
        if not self.s3_url:
            return stored_hashes(self.folder)
        keys = httpx.get(f"{self.s3_url}/pictures?list-type=2").text
        return sorted(set(re.findall("<Key>live/[0-9a-f]{2}/([0-9a-f]{32})/", keys)))

    def uploads(self) -> int:
        """Return how many direct uploads are in the bucket."""
        keys = httpx.get(f"{self.s3_url}/pictures?list-type=2").text if self.s3_url else ""
        return keys.count("<Key>live/uploads/")

    def add(self, api: httpx.Client, profile: str, content: bytes) -> str:
        """Make a picture. Returns its id."""
        if not self.s3_url:
            answer = api.post(f"{profile}/assets", content=content, timeout=60)
        else:
            signed = api.post(f"{profile}/asset-uploads").raise_for_status().json()
            httpx.put(signed["url"], content=content).raise_for_status()
            path = f"{profile}/asset-uploads/{signed['id']}/complete"
            answer = api.post(path, timeout=60)
        asset_id: str = answer.raise_for_status().json()["id"]
        return asset_id


@pytest.fixture(params=["folder", "s3"])
def store(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Store]:
    if request.param == "folder":
        yield Store(tmp_path / "data")
        return
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    variables = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ALLOW_HTTP": "true", "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret",
    }  # fmt: skip
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    httpx.put(f"http://{host}:{port}/pictures").raise_for_status()
    made = Store(tmp_path / "data", f"http://{host}:{port}")
    made.variables |= variables
    yield made
    server.stop()


def publish_until_killed(
    engine: Engine,
    store: Store,
    profile: str,
    numbers: "itertools.count[int]",
    published: threading.Event,
) -> None:
    """Make pictures, pages that show them and links with a preview, until the engine is gone. Sets `published`
    with the first page."""
    try:
        with engine.api() as api:
            while True:
                number = next(numbers)
                ids = [
                    store.add(api, profile, encoded(scene(300 + number, 200 + more), "JPEG"))
                    for more in range(2)
                ]
                blocks = [{"kind": "image", "picture": ids[1], "alt": "x"}]
                draft = {"name": "Ada", "picture": ids[0], "blocks": blocks}
                api.put(f"{profile}/page/draft", json=draft).raise_for_status()
                api.post(f"{profile}/page/publish").raise_for_status()
                published.set()
                link = {
                    "slug": f"l{number}",
                    "target": "https://example.com/",
                    "preview": {"title": "x"},
                }
                api.post(f"{profile}/links", json=link).raise_for_status()
    except httpx.TransportError:
        return


def test_a_kill_between_upload_job_and_publish_leaves_no_orphan_and_no_page_without_its_pictures(
    store: Store,
) -> None:
    numbers, profile = itertools.count(), ""
    for delay_s in (0.1, 0.7, 2.0):
        engine, published = Engine(store.folder, **store.variables), threading.Event()
        if not profile:
            with engine.api() as api:
                made = api.post("/v1/profiles", json={"handle": "ada"}).json()
            profile = f"/v1/profiles/{made['id']}"
        work = partial(publish_until_killed, engine, store, profile, numbers, published)
        thread = threading.Thread(target=work)
        thread.start()
        assert published.wait(DRAWN_WITHIN_S)
        time.sleep(delay_s)
        engine.kill()
        thread.join()
    engine = Engine(store.folder, **store.variables)
    try:
        with engine.api() as api, httpx.Client(base_url=engine.visitors, timeout=10) as visitor:
            page = visitor.get("/@ada", headers=BROWSER).text
            shown = set(re.findall(r"/a/[0-9a-f]{32}[-.0-9a-z]*", page))
            assert len(shown) > 1
            for link in api.get(f"{profile}/links").json()["items"][:3]:
                card = visitor.get(f"/ada/{link['slug']}", headers=MESSENGER).text
                shown |= set(re.findall(r"/a/[0-9a-f]{32}\.png", card))
            for path in shown:
                is_there = lambda path=path: visitor.get(path).status_code == 200  # noqa: E731
                eventually(is_there, DRAWN_WITHIN_S)
    finally:
        engine.stop()
    assert collected(store.folder, store.files) == store.hashes()
    if store.s3_url:
        assert store.uploads() > 0
        uploads = direct_uploads(ObjectAssetFiles("s3://pictures/live"))
        assert uploads is not None
        hosted_run(partial(uploads.delete_old, -60))
        assert store.uploads() == 0
