"""Hatchling's hook: builds the compiled modules into wheels, and ships their C in source distributions.

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
    """Adds the compiled modules to what is built."""

    def dependencies(self) -> list[str]:
        modules = _build_module(Path(self.root)).MODULES
        has_c = all((module.path / module.generated).exists() for module in modules)
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
            paths = [(module, self._made(module, version, work)) for module in build.MODULES]
        except build.BuildError as error:
            if os.environ.get("WAYPOST_BUILD_CORE") == "require":
                raise
            self.app.display_warning(f"built without the compiled core: {error}")
            return
        if self.target_name != "sdist":
            build_data["pure_python"] = False
            build_data["infer_tag"] = True
        if version != "editable":
            for module, path in paths:
                build_data["force_include"][str(path)] = f"{module.folder}/{path.name}"

    def _made(self, module: Any, version: str, work: Path) -> Path:
        """Return the file of a module: its C for a source distribution, else what was compiled of it."""
        if self.target_name == "sdist":
            path: Path = module.path / module.generated
            made: Path = path if path.exists() else module.generate(work)
        else:
            made = module.build(module.path if version == "editable" else work)
        return made

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
