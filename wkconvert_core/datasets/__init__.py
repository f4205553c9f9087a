"""Datasets on disk: layers and mags, their metadata, journals and checksums."""
