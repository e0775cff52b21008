"""From studies to the embeddings file.

prepare -> encode -> engine (the batch loop) -> parts -> write
read one   many      records what fails         a file   the HDF5 file
series     at once                              a study

`run.embed` ties them together, and `work` does one process's share. What a run is to make is its `plan`; `claims` and
`agree` let several processes follow one plan; `finished` tells what is done already, in `parts` or as `stored` rows.
`merge` makes one file of many jobs' parts. `read` opens what was written; `ids` keeps the link to patients apart;
`outage` and `disk` tell what disks do.
"""
