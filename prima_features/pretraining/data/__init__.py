"""Data of a run: studies, their reports and labels, and the cache of tokens and latents."""
