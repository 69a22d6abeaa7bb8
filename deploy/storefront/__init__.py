"""What does Headrace see when a shop uses it? A simulated storefront that knows the truth."""
