"""Times of the last use of API keys and sessions, and mails that reset passwords."""
