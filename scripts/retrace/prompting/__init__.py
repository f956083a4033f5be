"""Model inputs, by the layout of the training texts."""
