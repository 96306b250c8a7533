"""One module for each API, named like it; `broker.registry` lists them."""
