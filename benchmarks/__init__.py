"""Benchmarks: `micro` times compiled modules one by one, `load` runs whole servers over real sockets."""
