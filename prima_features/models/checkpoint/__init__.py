"""Reading published checkpoint files without unpickling: nothing that a file names is imported or called."""
