"""The benchmarks as a suite: one envelope for every result, a run of all, the report and the comparison."""
