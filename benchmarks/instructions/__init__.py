"""Instructions per request, counted by callgrind: a gate that a noisy machine cannot fool. See `benchmarks/README.md`."""
