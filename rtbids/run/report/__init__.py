"""The report of a run: a page that is made of what the run left behind."""
