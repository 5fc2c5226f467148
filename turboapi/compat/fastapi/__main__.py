"""`python -m fastapi`."""

from turboapi.compat.fastapi.cli import main

if __name__ == "__main__":
    main()
