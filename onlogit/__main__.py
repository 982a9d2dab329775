"""`python -m onlogit` is the command `onlogit`."""

from onlogit.cli import main

main()
