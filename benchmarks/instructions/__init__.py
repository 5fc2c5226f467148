"""Instructions per request, counted by callgrind: a gate that no noise can fool. See `benchmarks/README.md`."""
