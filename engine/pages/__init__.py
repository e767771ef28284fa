"""A profile's page: its blocks and themes, what may stand in them, and the HTML that visitors get."""
