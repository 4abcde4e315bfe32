"""Many modules: scanned into one database by as many processes as there are, and asked questions."""
