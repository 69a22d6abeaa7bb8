"""The role that refreshes what is learned in batches: the transformer, and a ranker in use."""
