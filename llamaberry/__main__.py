"""The `llamaberry` command, and `python -m llamaberry`."""

import sys


def main() -> None:
    """Run the command line; Ctrl-C while it is still being loaded ends it, too, without a traceback."""
    try:
        from llamaberry.cli.main import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
