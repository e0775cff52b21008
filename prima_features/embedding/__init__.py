"""From studies to the embeddings file.

prepare -> encode -> engine (the batch loop) -> parts -> write
read one   many      records what fails         a file   the HDF5 file
series     at once                              a study

`run.embed` ties them together; `read` opens what was written; `ids` keeps the link to patients apart.
"""
