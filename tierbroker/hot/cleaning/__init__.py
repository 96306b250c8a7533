"""Log compaction: the broker plans and swaps, a child process reads, decides and writes."""
