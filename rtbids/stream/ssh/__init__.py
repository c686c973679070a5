"""Connections to other machines over SSH, by the user's own settings, keys and known hosts."""
