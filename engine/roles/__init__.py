"""The roles: the only code of `engine/`, with `__main__`, that knows all rooms and wires them together."""
