"""Run the command line as ``python -m firstlight``."""

from firstlight.cli.app import main

if __name__ == "__main__":
    main()
