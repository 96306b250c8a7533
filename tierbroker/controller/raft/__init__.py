"""Raft in KRaft's form, without I/O: calls and messages in, bundles of effects out."""
