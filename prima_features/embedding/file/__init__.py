"""The embeddings file: its layout and records, writing, reading, and checks of files from others."""
