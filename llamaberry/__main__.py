"""`python -m llamaberry` is the command line, too."""

from llamaberry.cli.main import main

main()
