"""Which subvolumes and which series of a study an output of the model rests on.

targets.py   the explained number: a head's output, a similarity to a text, a probe's output
passes.py    a study with everything cached that does not change while tokens are removed
"""
