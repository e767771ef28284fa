"""In-memory twins of the storage ports: no server, same answers, for tests and tools."""
