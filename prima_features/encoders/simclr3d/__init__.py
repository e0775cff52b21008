"""3D-Neuro-SimCLR: a 3-D ResNet-18 trained with contrastive learning on T1w brains."""
