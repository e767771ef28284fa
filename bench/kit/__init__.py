"""Shared parts of benchmarks: report, audit, history, machine."""
