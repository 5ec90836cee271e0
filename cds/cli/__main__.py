"""`python -m cds.cli` is the command `exowatch`."""

from cds.cli import main

main()
