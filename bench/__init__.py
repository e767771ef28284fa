"""What is measured: one file a benchmark; each figure stands beside a peer's from the same run."""
