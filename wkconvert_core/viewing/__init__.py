"""What people look at: pictures of layers, a viewer, a report."""
