"""Benchmarks: the running server, driven from another process, beside its peers."""
