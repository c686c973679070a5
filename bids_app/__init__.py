"""The BIDS App: rtbids over a data set, with the standard positional arguments."""
