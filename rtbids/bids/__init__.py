"""Knowledge of the BIDS standard: names, sidecars, events, and the files of a data set."""
