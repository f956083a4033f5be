"""GRACE (arXiv 2305.14934): a step discriminator that guides decoding.

Differences from the authors' code are noted in the modules, for example in `alignment.align_jobs`.
"""
