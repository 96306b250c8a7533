"""Turns message facts into the source text of codecs. Text in, text out; touches no file."""
