"""What would it have been like on a log? `headrace evaluate`, `compare` and `off-policy`."""
