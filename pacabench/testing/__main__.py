"""``python -m pacabench.testing [HOST [PORT]]``: a fake provider that says ``ok``."""

import sys

from pacabench.testing.provider import serve

if __name__ == "__main__":
    serve(
        host=sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1",
        port=int(sys.argv[2]) if len(sys.argv) > 2 else 0,  # noqa: PLR2004 - the second argument
    )
