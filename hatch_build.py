"""Hatchling's hook: builds the compiled core into wheels, and ships its generated C in source distributions.

Without a C compiler or Python's headers, the wheel is pure Python, and one line says so.
WAYPOST_BUILD_CORE=require makes that an error, =skip builds none.
"""

import os
import tempfile
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FOLDER = "api/visits/compiled"
CYTHON = "cython>=3.1"


class CoreBuildHook(BuildHookInterface):
    """Adds the core to what is built."""

    def dependencies(self) -> list[str]:
        build = _build_module(Path(self.root))
        has_c = (build.FOLDER / build.GENERATED).exists()
        wanted = os.environ.get("WAYPOST_BUILD_CORE") != "skip"
        return [CYTHON] if wanted and not has_c else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if os.environ.get("WAYPOST_BUILD_CORE") == "skip":
            return
        build = _build_module(Path(self.root))
        # Kept until finalize(), as hatchling copies the files after this.
        self._work = tempfile.TemporaryDirectory(prefix="waypost-core-")
        work = Path(self._work.name)
        try:
            if self.target_name == "sdist":
                path = build.FOLDER / build.GENERATED
                path = path if path.exists() else build.generate(work)
            else:
                path = build.build(build.FOLDER if version == "editable" else work)
                build_data["pure_python"] = False
                build_data["infer_tag"] = True
        except build.BuildError as error:
            if os.environ.get("WAYPOST_BUILD_CORE") == "require":
                raise
            self.app.display_warning(f"built without the compiled core: {error}")
            return
        if version != "editable":
            build_data["force_include"][str(path)] = f"{FOLDER}/{path.name}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if hasattr(self, "_work"):
            self._work.cleanup()


def _build_module(root: Path) -> ModuleType:
    """Return api/visits/compiled/build.py, without importing the packages around it."""
    path = root / FOLDER / "build.py"
    spec = spec_from_file_location("waypost_core_build", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
