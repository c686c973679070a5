"""Images sent on: an outbox that loses nothing, and the destinations it sends to."""
