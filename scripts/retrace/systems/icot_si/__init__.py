"""Stepwise internalization (arXiv 2405.14838): the chain of thought is removed in training, token by token."""
