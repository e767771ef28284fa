"""Profile actors and what they answer visitors with."""
