"""What is the same on the wire, on disk and in the bucket: batches, codecs, side-file formats.

Pure bytes: nothing in this package does I/O, reads a clock or keeps state between calls.
"""
