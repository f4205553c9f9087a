"""Arrays that other programs wrote, as layers."""
