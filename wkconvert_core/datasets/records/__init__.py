"""The records of runs in `.wkconvert`: what was asked for, what of it is done, and how each mag was made."""
