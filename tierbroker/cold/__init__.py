"""The object tier: closed segments in S3-compatible storage, readable at their offsets."""
