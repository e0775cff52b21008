"""Neuro-JEPA: a ViT with experts on skull-stripped brains in MNI space."""
