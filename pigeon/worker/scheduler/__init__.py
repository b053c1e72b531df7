"""`pigeon worker` itself: looks for sessions, decides, forks runners."""
