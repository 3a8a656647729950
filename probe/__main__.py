"""``python -m probe``: the command line, where the script is not on the shell's path."""

from probe.cli import main

if __name__ == "__main__":
    main()
