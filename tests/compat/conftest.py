"""Profiles of how many applications are drawn: `--hypothesis-profile=thorough`, or the same by HYPOTHESIS_PROFILE."""

import os

from hypothesis import settings

settings.register_profile("thorough", deadline=None)
if profile := os.environ.get("HYPOTHESIS_PROFILE"):
    settings.load_profile(profile)
