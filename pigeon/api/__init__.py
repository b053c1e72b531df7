"""Pigeon from Python: subprocess, asyncio's subprocesses and concurrent.futures on a worker.

A thin layer over the executable (`--driven-by`), which keeps its promises: what hangs on a dead mount hangs there and
not in a thread of the caller's, and a caller that is killed leaves somebody behind who says so. Nothing here imports
pigeon's client or worker.
"""
