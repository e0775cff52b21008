"""BrainIAC: a ViT-B trained with contrastive learning on skull-stripped brains."""
