"""kafka-python's own integration tests as a judge: which of them pass, and why others do not."""
