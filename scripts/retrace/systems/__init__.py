"""The five systems, each whole."""
