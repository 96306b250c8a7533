"""Measures what the broker costs: the rows of the budget table, and the floor beneath them."""
