"""When: slices of the log in, lists and states out; the only package that wires the others."""
