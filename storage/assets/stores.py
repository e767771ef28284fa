"""The store of assets' files that the settings name."""

from pathlib import Path

from engine.assets.ports import AssetFiles
from storage.assets.local_files import LocalAssetFiles

FOLDER = "assets"


def asset_files(folder: Path) -> AssetFiles:
    """Return the store of assets' files; `folder` is the data folder."""
    return LocalAssetFiles(folder / FOLDER)
