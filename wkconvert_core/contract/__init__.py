"""The contract between core and plugins: boxes, sources, sinks, errors, and the hooks."""
