"""What each process is made of: the top of the tree."""
