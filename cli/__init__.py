"""The `prima` command: it parses, calls one function, and prints."""
