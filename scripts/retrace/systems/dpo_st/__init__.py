"""DPO-ST (arXiv 2407.18248): self-training with a DPO step in every round.

Differences from the authors' code are noted in the modules, for example in `preferences`.
"""
