"""A click's bytes in the journal, and what they tell: agent, referrer, dimensions."""
