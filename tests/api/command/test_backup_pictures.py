"""Pictures in `waypost backup` and `restore`: the files of those in use, as of the backup's moment."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from actors.operations.runtime import Stop
from api.command.backup import Backup, BackupFile
from engine.accounts.access import Caller
from engine.assets.asset import AssetDraft, Rendition, StoredPicture
from engine.operations.backup import BackupError, pack_picture, picture_stream
from storage.accounts.keys import PostgresApiKeyStore
from storage.assets.assets import PostgresAssetStore
from storage.assets.local_files import LocalAssetFiles
from storage.links.profiles import PostgresProfileStore
from storage.operations.backup_file import BackupReader
from tests.kit.backed_up import BackedUp, back_up, fill, manifest_of, restore, settings
from tests.kit.hosted import hosted_run
from tests.kit.stores import opened

pytestmark = pytest.mark.slow
RENDITION = Rendition(width=320, height=240, format="avif", bytes=3)
KEPT, LOST, DELETED = (f"{number:032x}" for number in range(3))
FILES = {"320.avif": b"abc", "main.jpg": bytes(range(256)) * 40_000}  # more than a part


@pytest.fixture
def engine(database_url: str, tmp_path: Path) -> BackedUp:
    return fill(database_url, tmp_path / "data")


def add_pictures(engine: BackedUp, pictures: Mapping[str, bool], *, delete: str = "") -> None:
    """Create assets of these hashes, with files where they are to have some; then delete one asset."""
    files = LocalAssetFiles(engine.folder / "assets")

    async def work() -> None:
        async with opened(engine.database_url) as open_role:
            app = await open_role("waypost_app")
            access = await PostgresApiKeyStore(app).authenticate(engine.api_key)
            assert access is not None
            caller: Caller = access
            profile = (await PostgresProfileStore(app).list_profiles(caller, 0, 1)).items[0]
            store = PostgresAssetStore(app)
            for hash_, has_files in pictures.items():
                draft = AssetDraft(hash_, "", StoredPicture("png", 320, 240, (RENDITION,)))
                await store.begin(caller, profile.id, draft)
                if has_files:
                    await files.write(hash_, FILES)
                asset = await store.create(caller, profile.id, draft)
                if hash_ == delete:
                    await store.delete(caller, profile.id, asset.id)

    hosted_run(work)


def test_a_restored_folder_has_the_pictures_of_the_moment(
    engine: BackedUp, bare_database_url: str, redis_url: str, tmp_path: Path
) -> None:
    add_pictures(engine, {KEPT: True, LOST: False, DELETED: True}, delete=DELETED)
    (engine.folder / "assets" / KEPT[:2] / KEPT / ".640.avif.1a2b").write_bytes(b"unfinished")
    file, folder = tmp_path / "backup.tar", tmp_path / "restored"
    manifest = back_up(engine, file)
    assert (manifest.pictures, manifest.missing_pictures) == (1, 1)
    parts = [each.name for each in manifest.members if each.name.startswith("assets/")]
    assert parts == [f"assets/{KEPT}.000000", f"assets/{KEPT}.000001"]
    result = restore(settings(bare_database_url, redis_url), folder, file)
    assert result.manifest.pictures == 1
    assert {path.name for path in (folder / "assets" / KEPT[:2]).iterdir()} == {KEPT}
    restored = {
        path.name: path.read_bytes() for path in (folder / "assets" / KEPT[:2] / KEPT).iterdir()
    }
    assert restored == FILES


def test_pictures_in_a_bucket_are_left_out_and_that_is_said(
    engine: BackedUp, tmp_path: Path
) -> None:
    add_pictures(engine, {KEPT: True})
    file = tmp_path / "backup.tar"
    config = replace(
        settings(engine.database_url, "redis://127.0.0.1:1"), storage_url="memory:///pictures"
    )
    with Backup(config, engine.folder, BackupFile(file, force=False)) as run:
        line = hosted_run(lambda: run.run(Stop()))
    assert "which are in the bucket of WAYPOST_STORAGE_URL" in line
    assert manifest_of(file).pictures is None


def test_the_line_of_a_backup_counts_pictures_and_those_without_files(
    engine: BackedUp, tmp_path: Path
) -> None:
    add_pictures(engine, {KEPT: True, LOST: False})
    file = BackupFile(tmp_path / "backup.tar", force=False)
    config = settings(engine.database_url, "redis://127.0.0.1:1")
    with Backup(config, engine.folder, file) as run:
        line = hosted_run(lambda: run.run(Stop()))
    assert line.endswith("and 1 pictures (1 more have no files in this folder)")


def test_a_forged_picture_leaves_nothing_restored(
    engine: BackedUp,
    bare_database_url: str,
    redis_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    add_pictures(engine, {KEPT: True})
    file, folder = tmp_path / "backup.tar", tmp_path / "restored"
    back_up(engine, file)
    parts = BackupReader.parts

    def forged(reader: BackupReader, stream: str) -> object:
        if stream == picture_stream(KEPT):
            return iter([pack_picture({"../../owner.json": b"{}"})])
        return parts(reader, stream)

    monkeypatch.setattr(BackupReader, "parts", forged)
    with pytest.raises(BackupError, match="none of a picture"):
        restore(settings(bare_database_url, redis_url), folder, file)
    assert {path.name for path in folder.iterdir()} == {"lock"}
