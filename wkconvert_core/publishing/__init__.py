"""Sending a finished dataset to a WEBKNOSSOS server."""
