"""The store of assets' files that the settings name."""

from pathlib import Path
from typing import Final

from engine.assets.ports import AssetFiles
from storage.assets.local_files import LocalAssetFiles
from storage.assets.object_store import ObjectAssetFiles

FOLDER: Final = "assets"


def asset_files(url: str, folder: Path) -> AssetFiles:
    """Return the store at WAYPOST_STORAGE_URL, or the folder `assets` of the data folder if it is empty.

    Raises SettingsError for a URL that its library does not take, or without the library.
    """
    return ObjectAssetFiles(url) if url else LocalAssetFiles(folder / FOLDER)
