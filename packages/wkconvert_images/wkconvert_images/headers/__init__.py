"""Headers of pictures, as far as Pillow does not read them: whether a file is whole, bit depths, what is lossy."""
