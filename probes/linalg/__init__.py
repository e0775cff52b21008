"""Linear algebra on wide embeddings, in memory that stays near that of the data."""
