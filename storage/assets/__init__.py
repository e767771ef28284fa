"""Assets: rows, files, and the processes that decode what members upload."""
