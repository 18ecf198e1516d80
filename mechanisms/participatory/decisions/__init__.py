"""Deciding when preferences are known up to a posterior, and whom to ask first."""
