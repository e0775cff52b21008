"""Files and the text in them: what every room that reads or writes relies on.

`disk`          atomic writes, and what errors of a disk mean
`safe`          files that may come from strangers, read within bounds
`safe_pattern`  regular expressions that may come from strangers
`text`          text from outside, escaped in one way and bounded
`plain`         plain containers, as JSON and TOML give them, to dataclasses
`paths`         names and paths from outside
`excel`         sheets of workbooks as text, bounded
`targets`       which files and folders a command may write
`new_directory` a directory that appears when it is complete
"""
