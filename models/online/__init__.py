"""What the seconds clock learns, event by event: counters, heads, the re-ranker, their tables."""
