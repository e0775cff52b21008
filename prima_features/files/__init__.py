"""Files and the text in them: what every room that reads or writes relies on.

`text`      text from outside, escaped in one way and bounded
`excel`     sheets of workbooks as text, bounded
`targets`   which files and folders a command may write
"""
