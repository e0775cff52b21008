"""Dinov3D-Neuro: DINOv3 on volumes. Not compared with the authors' own vectors."""
