"""A partition as clients see it: a local log with leadership, visibility and waiters."""
