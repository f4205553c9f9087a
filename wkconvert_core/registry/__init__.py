"""Which plugins there are, and which of them reads a path."""
