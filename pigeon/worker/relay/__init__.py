"""Between a running command and the session's files."""
