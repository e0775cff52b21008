"""Commands on clinical outputs: `prima diagnose`, `prima search` and `prima audit`."""
