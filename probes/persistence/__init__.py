"""Probes on disk: a directory of JSON, plain arrays and trees. Reading one runs no code from it.

`save`, `load`     write and read a probe's directory (see `files` for its files)
`locate`           the directory of a probe that is named by a path or a Hub id
`push`             publish it on the Hub
"""

from prima_features.probes.persistence.directory import Extras, is_probe, load, locate, push, save

__all__ = ["Extras", "is_probe", "load", "locate", "push", "save"]
