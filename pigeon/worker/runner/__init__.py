"""One process a session: directory, claim, journal row, start and end."""
