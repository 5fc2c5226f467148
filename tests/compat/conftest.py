"""Profiles of how many applications are drawn: `--hypothesis-profile=thorough`, or the same by HYPOTHESIS_PROFILE."""

import os

from hypothesis import settings

# Everywhere but in CI a run draws other examples than the one before it.
settings.register_profile("thorough", deadline=None, derandomize="CI" in os.environ)
if profile := os.environ.get("HYPOTHESIS_PROFILE"):
    settings.load_profile(profile)
