"""From studies to the embeddings file.

    engine/  ->  resume/  ->  file/  ->  report/, export/
    read and     part files   HDF5
    encode

`run.embed` ties them together, and `work` does one process's share. `engine/` reads and encodes studies; `resume/`
keeps finished ones in parts and lets several processes follow one plan; `file/` writes and reads the HDF5 file;
`record/` has the run's settings, times and reasons, and the table that links studies to patients; `companions` writes
the files next to the output, and `merge` makes one file of many jobs' parts.
"""
