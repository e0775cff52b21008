"""Lesions: what each is made of, and where it lies."""

from prima_features.synthetic.lesions.records import Layer, Lesion

__all__ = ["Layer", "Lesion"]
