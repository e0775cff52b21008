"""Untidy input by kind. Each module registers its situations in a `Situations` collection called `SITUATIONS`."""
