"""A BIDS data set that grows volume by volume and is valid at every instant."""
