"""The framework's logger."""

import logging

logger = logging.getLogger("turboapi")
