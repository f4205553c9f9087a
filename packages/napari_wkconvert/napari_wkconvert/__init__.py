"""A reader for napari: WEBKNOSSOS datasets, and whatever the installed readers of wkconvert know."""

__version__ = "0.1.0"
