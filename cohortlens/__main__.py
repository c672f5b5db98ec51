"""``python -m cohortlens``: the same as the ``cohortlens`` command."""

from cohortlens.cli.main import main

if __name__ == "__main__":
    main()
