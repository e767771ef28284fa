"""`python -m api.command`: the command line without the installed `waypost`."""

from api.command.main import main

if __name__ == "__main__":
    main()
