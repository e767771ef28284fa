"""Pictures of pages and links that networks and messengers show: cards, and how they are drawn."""
