"""What becomes of sessions whose runner or owner died."""
