"""What tools/docs makes from the code: parts of documents, completions for shells, the man page."""
