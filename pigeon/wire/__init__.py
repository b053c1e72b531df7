"""The format that client and worker share; FORMAT.md is its text. Imports only errors and clock of pigeon."""
