"""Engines read and encode studies, on this machine (`local`) or on a Ray cluster (`ray/`)."""
