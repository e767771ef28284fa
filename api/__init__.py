"""The room of what is said: the visitors' server, the console, the command line, and the processes they run
in."""
