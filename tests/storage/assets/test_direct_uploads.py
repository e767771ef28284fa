"""Direct uploads: one contract for memory and for S3, and which stores have them."""

from pathlib import Path

import httpx
import pytest
import trio

from engine.assets.direct_upload import UploadKey, UploadTooLargeError
from engine.assets.ports import DirectUploads
from engine.common.errors import UnavailableError
from storage.assets.direct_uploads import ObjectDirectUploads, direct_uploads
from storage.assets.local_files import LocalAssetFiles
from storage.assets.memory_files import MemoryAssetFiles
from storage.assets.memory_uploads import MemoryDirectUploads
from storage.assets.object_store import ObjectAssetFiles

KEY = UploadKey(1, 7, "0" * 32)
CONTENT = bytes(range(256)) * 2_000


@pytest.fixture(params=["memory", pytest.param("s3", marks=pytest.mark.slow)])
def uploads(request: pytest.FixtureRequest) -> DirectUploads:
    if request.param == "memory":
        return MemoryDirectUploads()
    return ObjectDirectUploads(ObjectAssetFiles(request.getfixturevalue("bucket")))


async def send(uploads: DirectUploads, key: UploadKey, content: bytes) -> None:
    """Send a file as a client does."""
    signed = await uploads.sign(key)
    if isinstance(uploads, MemoryDirectUploads):
        uploads.objects[key.path] = content
        return
    answer = await trio.to_thread.run_sync(
        lambda: httpx.put(signed.url, content=content, headers=signed.headers)
    )
    assert answer.status_code == 200, answer.text


async def received(uploads: DirectUploads, key: UploadKey, max_bytes: int) -> bytes | None:
    pieces: list[bytes] = []
    return b"".join(pieces) if await uploads.copy(key, pieces.append, max_bytes) else None


async def test_what_a_client_sends_to_the_signed_address_is_received(
    uploads: DirectUploads,
) -> None:
    assert await received(uploads, KEY, len(CONTENT)) is None
    await send(uploads, KEY, CONTENT)
    assert await received(uploads, KEY, len(CONTENT)) == CONTENT
    for other in (KEY._replace(tenant_id=2), KEY._replace(profile_id=8), KEY._replace(id="1" * 32)):
        assert await received(uploads, other, len(CONTENT)) is None
    with pytest.raises(UploadTooLargeError):
        await received(uploads, KEY, len(CONTENT) - 1)
    await uploads.delete(KEY)
    await uploads.delete(KEY)
    assert await received(uploads, KEY, len(CONTENT)) is None


@pytest.mark.slow
async def test_old_uploads_go_and_pictures_stay(s3_server: str, bucket: str) -> None:
    files = ObjectAssetFiles(bucket)
    uploads = ObjectDirectUploads(files)
    await files.write("ab" + "0" * 30, {"main.jpg": b"JPEG"})
    for number in range(3):
        await send(uploads, KEY._replace(id=f"{number:032x}"), b"x")
    assert await uploads.delete_old(60) == 0
    assert await uploads.delete_old(-60) == 3
    url = f"{s3_server}/pictures?list-type=2"
    listed = (await trio.to_thread.run_sync(httpx.get, url)).text
    assert listed.count("<Key>") == 1
    assert "main.jpg" in listed


@pytest.mark.slow
async def test_a_signed_address_is_good_for_its_object_alone(bucket: str) -> None:
    signed = await ObjectDirectUploads(ObjectAssetFiles(bucket)).sign(KEY)
    assert "/pictures/live/uploads/1/7/" + KEY.id in signed.url
    assert "X-Amz-Expires=900" in signed.url
    assert "X-Amz-Signature=" in signed.url
    assert "secret" not in signed.url


@pytest.mark.slow
async def test_a_store_that_is_away_is_unavailable(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    away = ObjectDirectUploads(ObjectAssetFiles(bucket))
    with pytest.raises(UnavailableError):
        await received(away, KEY, 1)
    with pytest.raises(UnavailableError):
        await away.delete_old(0)


def test_only_a_store_that_signs_has_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert direct_uploads(LocalAssetFiles(tmp_path)) is None
    assert direct_uploads(MemoryAssetFiles()) is None
    assert direct_uploads(ObjectAssetFiles("memory:///pictures")) is None
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    assert direct_uploads(ObjectAssetFiles("s3://pictures")) is not None
