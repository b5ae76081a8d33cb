"""Benchmarks: the cost of a run against a plain loop (`python -m benchmarks`), and batch, scale and soak tests."""
