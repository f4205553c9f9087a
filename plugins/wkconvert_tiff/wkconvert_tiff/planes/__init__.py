"""The TIFF file and page that hold each plane of a volume, and what the planes count."""
