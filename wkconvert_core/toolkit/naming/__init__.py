"""What the names of a folder of pictures say: what each number counts, and what is missing or doubtful."""
