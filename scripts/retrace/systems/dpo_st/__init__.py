"""DPO-ST (arXiv 2407.18248): self-training with a DPO step in every round."""
