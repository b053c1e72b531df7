"""The format that client and worker share; FORMAT.md is its text. Imports nothing else of pigeon but errors and clock."""
