"""The systems, one package each."""
