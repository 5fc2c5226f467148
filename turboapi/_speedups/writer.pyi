"""Responses as bytes. Everything here is for other extensions, by `cimport`: Python sees nothing of it."""
