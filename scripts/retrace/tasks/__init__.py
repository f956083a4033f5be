"""Tasks: data sets with their prompts, steps, answer extractors and graders."""
