"""What we know: events, user state as a fold of them, features, and the store that holds both."""
