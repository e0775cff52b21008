"""HTML pages of clinical outputs: the worklist and search results. Each is one file that opens offline."""
