"""The report: one page that shows what is in results/."""
