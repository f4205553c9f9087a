"""The commands of `wkconvert`, each a module of its name."""
