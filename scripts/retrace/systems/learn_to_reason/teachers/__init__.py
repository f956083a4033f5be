"""Teachers: who writes rationales. A served model, a local one, recorded responses, or the task's own references."""
