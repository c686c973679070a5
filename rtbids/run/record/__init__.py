"""What a run leaves behind in its study: volumes, tables, maps, and where they come from."""
