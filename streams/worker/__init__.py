"""The role that turns slices of `events` into states and lists in the store."""
