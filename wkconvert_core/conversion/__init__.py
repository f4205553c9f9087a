"""From a path to layers to steps: first decided, then carried out."""
