"""Files of links, as other services write them: their records, what their columns mean, and rows of links."""
