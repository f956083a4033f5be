"""Token text and the calculator."""
