"""What EXPERIMENT on the command line names: its script and its config, read and checked before a run begins."""
