"""The brain in a scan: its mask, its position in MNI152 space, and how plausible both are.

`find`          what is known of a scan, in order of preference
`mask_files`    masks from files
`stripped`      scans that were already skull-stripped
`tools`         programs that make masks
`transforms`    transforms from files, and their rigid part
`registration`  registration of a masked scan to the template
`template`      MNI152
`fit`           whether a mask fits the voxels of its scan
`quality`       volume, scale and overlap with the template, with bounds
`cache`         results of programs and registrations, by content

Nothing is resampled twice: matrices are composed, and the stored voxels are read once.

    stored grid --affine--> scan, mm --to_mni--> MNI152, mm --> world of the encoder's grid
"""
