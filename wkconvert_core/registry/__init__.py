"""The installed plugins, and the one that reads a path."""
