"""The same application on TurboAPI and on FastAPI, beside nginx answering a constant: `python -m benchmarks.load`."""
