"""Davault, its peers and a floor on the same data, machine and server: ``make bench``, see docs/benchmarks.md."""
