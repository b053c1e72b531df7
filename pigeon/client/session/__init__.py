"""What follows a session on the share: the pump process."""
