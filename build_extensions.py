"""The build command of pyproject.toml: extensions go into the wheel, and next to their sources.

So a checkout in which `pip install .` was run can be run itself: `python -m turboapi` imports the package from there.
"""

from setuptools.command.build_ext import build_ext


class BuildExtensions(build_ext):
    """`build_ext` that always copies what it has built to the source tree as well."""

    def run(self) -> None:
        super().run()
        self.copy_extensions_to_source()
