"""Times of the last use of API keys and sessions."""
