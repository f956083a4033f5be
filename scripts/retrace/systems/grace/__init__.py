"""GRACE (arXiv 2305.14934): a step discriminator that guides decoding."""
