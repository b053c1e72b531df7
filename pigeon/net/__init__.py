"""The network, lent: many connections over one session (FORMAT.md, Part 3)."""
