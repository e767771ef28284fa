from engine.clicks.copy_rows import FoldRows

SOURCES: str

class CompiledFoldRows(FoldRows): ...
