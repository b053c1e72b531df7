"""connect(2) of a command and its children, answered by another process (seccomp_unotify(2))."""
