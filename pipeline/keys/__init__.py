"""API keys: who may talk to the platform, for which fleet, and to do what."""
