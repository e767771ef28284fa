"""Collector: it deletes the files that no asset has, and then forgets them.

So it may end anywhere: what was not forgotten is claimed and deleted again by a later run.
"""

from typing import Final

import trio

from engine.assets.asset import DELETE_LIMIT_S
from engine.assets.direct_upload import UPLOAD_KEPT_S
from engine.assets.ports import AssetFiles, DirectUploads, UnusedFilesStore
from engine.common.errors import UnavailableError
from engine.jobs.handler import repeatable
from engine.jobs.periodic import MINUTE, PeriodicJob
from engine.jobs.schedule import Every
from engine.operations.metrics import Metric, Sample

BATCH: Final = 50
COLLECTED: Final = Metric(
    "waypost_assets_collected_total", "Pictures whose files were deleted, as no asset had them"
)

OLD_UPLOADS: Final = Metric(
    "waypost_direct_uploads_deleted_total",
    "Uploads that clients sent to the object store, deleted as they were old",
)


class AssetCollector:
    """The collector of one workers process."""

    def __init__(
        self, unused: UnusedFilesStore, files: AssetFiles, uploads: DirectUploads | None = None
    ) -> None:
        self._unused = unused
        self._files = files
        self._uploads = uploads
        self.collected = 0
        self.old_uploads = 0

    def periodic_jobs(self) -> list[PeriodicJob]:
        return [
            PeriodicJob(
                "assets.collect",
                Every(MINUTE),
                "delete pictures' files that no asset has",
                repeatable(self.collect),
            ),
            PeriodicJob(
                "assets.sweep_uploads",
                Every(10 * MINUTE),
                "delete uploads in the object store that are used or were given up",
                repeatable(self.sweep_uploads),
            ),
        ]

    async def sweep_uploads(self) -> None:
        """Delete what clients sent to the store UPLOAD_KEPT_S ago. Raises UnavailableError."""
        if self._uploads is not None:
            self.old_uploads += await self._uploads.delete_old(UPLOAD_KEPT_S)

    async def collect(self) -> int:
        """Delete files that no asset has. Returns of how many pictures.

        Raises UnavailableError if their store does not answer.
        """
        total = 0
        while claimed := await self._unused.claim(BATCH):
            # Far less time than the claim lasts: nobody else deletes, or writes, these files meanwhile.
            with trio.move_on_after(DELETE_LIMIT_S) as limit:
                for files in claimed:
                    await self._files.delete(files.hash)
            if limit.cancelled_caught:
                raise UnavailableError("the store of pictures' files is too slow to delete them")
            await self._unused.forget(claimed)
            total += len(claimed)
            self.collected += len(claimed)
        return total

    def samples(self) -> list[Sample]:
        return [COLLECTED.sample(self.collected), OLD_UPLOADS.sample(self.old_uploads)]
