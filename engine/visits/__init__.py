"""A request before it is a click: client, place, classification, pseudonym, variant."""
