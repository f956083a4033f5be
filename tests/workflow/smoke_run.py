"""What the smoke run of this suite makes."""

BASE = "results/arithmetic/tiny_t5/seed0/base/model"
TARGETS = ["all", "results/tables/grace_table1.html", "results/arithmetic/grace_acc.json"]
