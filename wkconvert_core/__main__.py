"""`python -m wkconvert_core` is `wkconvert`."""

from wkconvert_core.cli.app import main

if __name__ == "__main__":
    main()
