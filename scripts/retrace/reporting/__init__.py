"""The report: one page that shows what stands in results/."""
