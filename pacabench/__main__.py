"""``python -m pacabench`` and the ``pacabench`` command."""

from pacabench.cli import main

if __name__ == "__main__":
    main()
