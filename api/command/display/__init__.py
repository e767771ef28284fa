"""Tables and screens that commands show."""
