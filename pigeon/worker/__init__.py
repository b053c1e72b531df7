"""The worker side: the scheduler (`pigeon worker`) and one runner process for each session."""
