"""Cost estimates and reports: planned jobs, benchmark records, and formulas."""
