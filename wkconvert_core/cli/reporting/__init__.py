"""Output for people and scripts: lines, tables, bars, JSON, logs."""
