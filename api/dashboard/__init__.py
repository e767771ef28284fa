"""The dashboard: its shell and assets. Its modules use `/v1` as any client does."""
