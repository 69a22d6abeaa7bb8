"""What does a chunk of events cause? The whole decision, without a clock or a socket."""
