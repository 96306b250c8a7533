"""The records of classic groups in __consumer_offsets: generated codecs, keys and values."""
