"""What the cluster's metadata is and how it may change: images, deltas, deciders. No I/O."""
