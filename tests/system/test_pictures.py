"""Pictures through a real engine: from uploads to visitors, killed in between, and erased to the last byte."""

import itertools
import threading
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from actors.assets.collector import AssetCollector
from storage.assets.local_files import LocalAssetFiles
from storage.assets.unused import PostgresUnusedFilesStore
from storage.embedded import EmbeddedServers
from storage.postgres.database import Database
from tests.conftest import on_connection
from tests.kit.engines import Engine
from tests.kit.hosted import hosted_run
from tests.kit.pictures import encoded, scene

pytestmark = [pytest.mark.large, pytest.mark.timeout(600)]
BROWSER = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0"}
EXPIRE = "UPDATE waypost.asset_files SET writable_until = now()"
STORED = (
    "SELECT address FROM waypost.assets UNION SELECT address FROM waypost.page_cards ORDER BY 1"
)


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


def collected(folder: Path) -> list[str]:
    """Run the collector over a stopped engine's data. Returns the hashes that the database names."""
    with EmbeddedServers(folder) as servers:
        url = servers.database_url
        on_connection(url, lambda connection: connection.execute(EXPIRE))

        async def collect() -> None:
            database = await Database.open(
                url, role="waypost_aggregator", size=2, query_timeout_ms=10_000
            )
            try:
                files = LocalAssetFiles(folder / "assets")
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
