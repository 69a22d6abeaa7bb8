"""The role that reads `examples` and keeps the online models."""
