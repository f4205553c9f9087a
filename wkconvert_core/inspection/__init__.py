"""Finding out about a dataset by reading it."""
