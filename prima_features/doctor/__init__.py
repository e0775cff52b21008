"""`prima doctor`: whether this machine reads, computes and writes what it should.

software, hardware, codecs, disk, weights, scan -> answer -> known_answer   ->   run
a few checks of one kind each                                                all, in order

Each check imports what it needs itself, so that a package that cannot be imported is a finding and not the end.
"""
