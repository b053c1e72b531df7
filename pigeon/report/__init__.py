"""What the verbs show, made into rows and text; prints nothing."""
