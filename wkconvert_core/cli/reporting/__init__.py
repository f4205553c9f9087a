"""What people and scripts get to see: lines, tables, bars, JSON."""
