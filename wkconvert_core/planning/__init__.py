"""What a conversion costs, decided before it runs."""
