"""LaTRO (arXiv 2411.04282): rationales rewarded by the model's own likelihood."""
