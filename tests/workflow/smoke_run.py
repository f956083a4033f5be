"""What the smoke run of this suite makes."""

TARGETS = ["all", "results/tables/grace_table1.html", "results/arithmetic/grace_acc.json"]
