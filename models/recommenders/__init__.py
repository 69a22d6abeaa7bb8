"""Next-item models that learn from a finished log, one file each; see `models.registry`."""
