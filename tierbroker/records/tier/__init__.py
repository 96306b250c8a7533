"""The cold tier as values: what lies in the bucket, and the events of the metadata log about it."""
