"""What a target will cost and what it took: planned jobs, benchmark records, and formulas in between."""
