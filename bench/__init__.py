"""Benchmarks, one file each. Each result stands beside a peer's from the same run."""
