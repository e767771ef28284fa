"""What benchmarks share: report, audit, history, machine."""
