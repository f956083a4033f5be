"""Teachers, which write rationales: a served model, a local model, recorded responses, or the task's references."""
