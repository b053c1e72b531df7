"""The process on the worker's host: resolves, connects, listens, as far as the worker lends it."""
