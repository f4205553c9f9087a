"""What lies on disk: datasets, their metadata, journals and checksums."""
