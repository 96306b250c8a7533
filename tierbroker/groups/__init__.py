"""Consumer groups: the classic protocol and committed offsets, kept in `__consumer_offsets`."""
