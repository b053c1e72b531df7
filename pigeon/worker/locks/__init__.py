"""The lock of a working directory: one module for each kind, and `kinds.py`, which has the table of them."""
