"""What is recorded of a run next to the embeddings: settings, times, reasons, and the table of identities."""
