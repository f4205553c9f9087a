"""The formats: images at a place, as the files describe them."""
