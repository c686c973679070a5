"""A BIDS data set that grows volume by volume."""
