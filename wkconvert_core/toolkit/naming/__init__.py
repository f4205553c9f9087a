"""The meaning of names in a folder of pictures: what each number counts, and what is missing or doubtful."""
