"""`python -m llamaberry` is the command line, too."""

from llamaberry.cli import main

main()
