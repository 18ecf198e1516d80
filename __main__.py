"""The command line: `fairhand`, or `python -m fairhand`."""


def main() -> None:
    """Run the command line."""
    from .workflow.cli import app

    app(prog_name="fairhand")


if __name__ == "__main__":
    main()
