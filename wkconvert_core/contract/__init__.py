"""What core and plugins exchange: boxes, sources, sinks, errors, and the hooks."""
