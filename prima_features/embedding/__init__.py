"""From studies to the embeddings file.

prepare -> encode -> engine -> parts -> write
read one   many      the       a file   the HDF5 file
study      at once   loop      a study

An engine is a function of studies that yields results (`engine.Engine`), made of the steps `prepare` and `encode`;
`stages` holds where its time goes.

`run.embed` ties them together, and `work` does one process's share. What a run is to make is its `plan`; `claims` and
`agree` let several processes follow one plan; `finished` tells what is done already, in `parts` or as `stored` rows.
`merge` makes one file of many jobs' parts. `read` opens what was written; `ids` keeps the link to patients apart;
`outage` and `disk` tell what disks do.
"""
