"""Implicit chain of thought (arXiv 2311.01460): reasoning moved into the hidden states."""
