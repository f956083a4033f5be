"""What a target means: the summed configuration, names, and what lies behind a result."""
