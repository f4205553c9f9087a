"""Strict readers of single pictures and of the pages of TIFF files, shared by plugins. Importing this imports nothing.

`opening.raster` opens one picture; what it returns says what the header holds (`facts.Facts`) and reads regions of it.
"""
