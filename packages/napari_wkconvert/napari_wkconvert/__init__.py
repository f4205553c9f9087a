"""A reader for napari: WEBKNOSSOS datasets, and whatever the installed readers of wkconvert know."""
