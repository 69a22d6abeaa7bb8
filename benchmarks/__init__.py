"""What does it cost, and where does the time go? Each benchmark prints a ratio within one run."""
