"""Shared by all rooms: atomic files, configuration, settings, fingerprints, progress."""
