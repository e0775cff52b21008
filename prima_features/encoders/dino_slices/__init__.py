"""DINOv2 and DINOv3, trained on natural images, on the axial slices of a scan: a baseline for models of brain MRI."""
