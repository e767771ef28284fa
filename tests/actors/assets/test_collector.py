"""The collector: it deletes what no asset has, once the store answers, and nothing else."""

from collections.abc import Sequence

import pytest
import trio

from actors.assets.collector import BATCH, AssetCollector
from engine.assets.direct_upload import UPLOAD_KEPT_S
from engine.assets.ports import UnusedFiles
from engine.common.errors import UnavailableError
from storage.assets.memory_files import MemoryAssetFiles
from storage.assets.memory_uploads import MemoryDirectUploads


class GivenUnused:
    """An UnusedFilesStore that gives its files once, until they are forgotten or the claim is over."""

    def __init__(self, *hashes: str) -> None:
        self.files = [UnusedFiles(1, hash_) for hash_ in hashes]
        self.forgotten: list[str] = []
        self.claimed: set[UnusedFiles] = set()

    async def claim(self, limit: int) -> list[UnusedFiles]:
        free = [file for file in self.files if file not in self.claimed][:limit]
        self.claimed.update(free)
        return free

    async def forget(self, files: Sequence[UnusedFiles]) -> None:
        self.forgotten += [file.hash for file in files]


async def test_it_deletes_all_batches_and_leaves_the_other_files() -> None:
    hashes = [f"{number:032x}" for number in range(BATCH + 3)]
    files, unused = MemoryAssetFiles(), GivenUnused(*hashes)
    for hash_ in [*hashes, "kept"]:
        await files.write(hash_, {"320.avif": b"x"})
    collector = AssetCollector(unused, files)
    assert await collector.collect() == len(hashes)
    assert unused.forgotten == hashes
    assert files.files.keys() == {"kept"}
    assert [sample.value for sample in collector.samples()] == [len(hashes), 0]


async def test_what_a_store_that_is_away_keeps_is_not_forgotten() -> None:
    files, unused = MemoryAssetFiles(), GivenUnused("a")
    await files.write("a", {"320.avif": b"x"})
    files.away = True
    with pytest.raises(UnavailableError):
        await AssetCollector(unused, files).collect()
    assert unused.forgotten == []


async def test_a_store_that_does_not_end_a_call_is_left(autojump_clock: object) -> None:
    class Slow(MemoryAssetFiles):
        async def delete(self, hash_: str) -> None:
            await trio.sleep_forever()

    unused = GivenUnused("a")
    with pytest.raises(UnavailableError):
        await AssetCollector(unused, Slow()).collect()
    assert unused.forgotten == []


async def test_old_uploads_are_swept_where_the_store_takes_them() -> None:
    class OldUploads(MemoryDirectUploads):
        async def delete_old(self, age_s: float) -> int:
            assert age_s == UPLOAD_KEPT_S
            return 3

    collector = AssetCollector(GivenUnused(), MemoryAssetFiles(), OldUploads())
    await collector.sweep_uploads()
    assert collector.old_uploads == 3
    await AssetCollector(GivenUnused(), MemoryAssetFiles()).sweep_uploads()
