"""`python -m turboapi`, the same as the `turboapi` command."""

from turboapi.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
