"""Benchmarks: `make bench` runs all of them; none is a test. See docs/performance.md."""
