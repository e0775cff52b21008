"""Lesions: layers and locations."""
