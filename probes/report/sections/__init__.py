"""The page's parts, one a file: each takes the report's content and gives a section, or None where it has nothing."""
