"""The costs of a conversion, decided before it runs."""
