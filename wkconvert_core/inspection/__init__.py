"""What can be found out about a dataset by reading it."""
