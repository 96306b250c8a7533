"""The metadata controller: a Raft log of Kafka's metadata records and the image it describes."""
