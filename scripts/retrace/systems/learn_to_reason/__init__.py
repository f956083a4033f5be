"""Learn-to-Reason (arXiv 2310.13332): rounds of exam, feedback and self-reflection.

Left out: the paper's own prompt for the teacher, which is not available; config/prompts/feedback.yaml takes its place.
"""
