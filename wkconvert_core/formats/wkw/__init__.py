"""WKW: cubes of compressed blocks in Morton order, strictly read."""
