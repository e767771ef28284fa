"""What is said: every door to the outside: the visitors' listener and the console."""
