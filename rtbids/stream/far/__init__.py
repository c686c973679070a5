"""The far side of a connection: a relay that comes and goes, and the keeper of a session, which stays."""
