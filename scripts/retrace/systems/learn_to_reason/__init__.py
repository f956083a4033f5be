"""Learn-to-Reason (arXiv 2310.13332): rounds of exam, feedback and self-reflection."""
