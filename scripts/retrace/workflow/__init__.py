"""Configuration, names, targets and their upstream jobs."""
