"""Studies of a run: where they come from, their reports and labels, and the cache of what is computed once."""
