"""An object store: nothing is left of a deleted picture, and one that is away is unavailable.

test_local_files.py has the contract of all stores.
"""

import sys

import httpx
import pytest

from engine.common.errors import SettingsError, UnavailableError
from storage.assets.object_store import ObjectAssetFiles

pytestmark = pytest.mark.slow
HASH = "ab" + "0" * 30
FILES = {"320.avif": b"small", "main.jpg": b"JPEG"}


def listed(s3_server: str) -> str:
    return httpx.get(f"{s3_server}/pictures?list-type=2").raise_for_status().text


async def test_objects_have_their_type_and_go_with_their_picture(
    s3_server: str, bucket: str
) -> None:
    files = ObjectAssetFiles(bucket)
    await files.write(HASH, FILES)
    assert f"<Key>live/ab/{HASH}/320.avif</Key>" in listed(s3_server)
    await files.delete(HASH)
    assert "<Key>" not in listed(s3_server)


async def test_a_store_that_is_away_or_refuses_is_unavailable_in_one_line(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = ObjectAssetFiles("s3://no-such-bucket")
    with pytest.raises(UnavailableError) as raised:
        await missing.write(HASH, FILES)
    assert "\n" not in str(raised.value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    away = ObjectAssetFiles(bucket)
    for call in (away.write(HASH, FILES), away.read(HASH, "320.avif"), away.delete(HASH)):
        with pytest.raises(UnavailableError):
            await call


def test_without_its_library_the_setting_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(SettingsError, match="object-store"):
        ObjectAssetFiles("s3://pictures")
