"""Lesions: what each is made of, and where it lies."""
