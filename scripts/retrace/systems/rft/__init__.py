"""Rejection-sampling fine-tuning (arXiv 2308.01825): one round of sampled, right and distinct solutions."""
