"""Profile actors, their registry and their changes, and the daily keys of an edge."""
