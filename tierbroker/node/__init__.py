"""The composition root: settings, the parts of a broker bound together, ordered start and stop."""
