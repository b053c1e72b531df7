"""The client: from what the user typed to an exit code. Standard library only, and little of it."""
