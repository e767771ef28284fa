"""Which code folds: compiled, or Python alone."""

from api.visits.compiled.build import FOLD_ROWS, PACKER
from engine.common.errors import SettingsError
from storage.clicks.fold_core import PYTHON, FoldCore


def select_fold(wanted: str) -> FoldCore:
    """Return what folds by `wanted`: auto, compiled or python.

    Raises SettingsError if the compiled code is wanted and cannot be used.
    """
    if wanted == "python":
        return PYTHON._replace(reason="WAYPOST_FOLD_CORE is python")
    reason = FOLD_ROWS.problem() or PACKER.problem()
    if not reason:
        from engine.clicks.compiled.fold_rows import CompiledFoldRows
        from engine.stats.packed.compiled.packer import pack_day

        return FoldCore(CompiledFoldRows, pack_day, "compiled")
    if wanted == "compiled":
        raise SettingsError(f"WAYPOST_FOLD_CORE is compiled, but it cannot be used: {reason}")
    return PYTHON._replace(reason=reason)
