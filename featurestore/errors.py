"""What can go wrong in this package: the root of its exceptions."""


class FeatureStoreError(Exception):
    """Root of what `featurestore` raises about data and stores, but for plain bad arguments."""
