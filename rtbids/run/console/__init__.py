"""Files on the scanner's side that a script may read and write: those within the folders that ``--allow`` names."""
