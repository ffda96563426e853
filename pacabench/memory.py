"""The collector of reference cycles, where many objects are made that are to stay."""

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def building() -> Iterator[None]:
    """Keep the collector from going through all objects again and again while they are made.

    It finds nothing there, and takes a third of the time for which a run of 100,000 cases is read.
    Afterwards it leaves alone what there is: objects go with their last reference all the same.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.freeze()
            gc.enable()
