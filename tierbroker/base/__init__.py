"""Vocabulary and seams that every other package shares. Imports nothing of ours."""
