"""Installs the alias in every Python process that has this folder on PYTHONPATH: the suite and what it starts.

It does so when `fastapi` or `starlette` is first imported. Earlier, the import of TurboAPI, and with it of pydantic and
its plugins, would come before pytest's own preparations.
"""

import sys
from importlib.abc import MetaPathFinder


class _OnFirstUse(MetaPathFinder):
    def find_spec(self, fullname, path=None, target=None):
        if fullname.partition(".")[0] not in ("fastapi", "starlette"):
            return None
        if self in sys.meta_path:
            sys.meta_path.remove(self)
            from turboapi.compat import install

            install()
        return next(filter(None, (finder.find_spec(fullname, path, target) for finder in sys.meta_path)), None)


sys.meta_path.insert(0, _OnFirstUse())
