"""Rejection-sampling fine-tuning (arXiv 2308.01825): one round of sampled, correct and distinct solutions.

Left out: the paper's RFT-U13B and RFT-U33B, which pool the samples of several models.
"""
