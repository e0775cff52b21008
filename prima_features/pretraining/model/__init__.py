"""The model that a run starts from, and the model directory that it writes."""
