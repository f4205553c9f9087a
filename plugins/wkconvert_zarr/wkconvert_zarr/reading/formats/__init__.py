"""What lies at a place: which format, and images as the files describe them."""
