"""The version check of conditional changes, for every store and its twin."""

from engine.common.errors import LostUpdateError


def require_version(stored: int, if_version: int | None) -> None:
    """Raise LostUpdateError unless the stored version is the one that the caller has read; None: any."""
    if if_version is not None and stored != if_version:
        raise LostUpdateError(stored)
