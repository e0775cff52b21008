"""The engine that embeds on a Ray cluster (`--engine ray`)."""
