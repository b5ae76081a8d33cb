"""`python -m llamaberry` runs the command line."""

from llamaberry.cli.main import main

main()
