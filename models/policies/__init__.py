"""Lists that are drawn: with which chances, and what another policy would have earned."""
