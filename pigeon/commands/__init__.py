"""One module for each verb: `main(args, globals_) -> exit code`. Imported only when called."""
