"""Encoders of brain MRI studies: what all share, and one folder per encoder."""
