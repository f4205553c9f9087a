"""Views for people: pictures of layers, a viewer, a report."""
