"""The text that a model reads, by the layout that it was trained on."""
