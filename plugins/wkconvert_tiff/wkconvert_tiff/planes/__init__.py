"""Which page of which TIFF file holds which plane of a volume, and what the planes count."""
