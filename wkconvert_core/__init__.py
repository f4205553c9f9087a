"""The names for plugins, beside those in `toolkit` and `testing`.

They are loaded when the first is asked for, as `--help` needs none. That costs neither numpy nor a format library.
"""

from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from wkconvert_core.names import *  # noqa: F403  # `names.__all__` lists them
else:

    def __getattr__(name):
        from importlib import import_module

        names = import_module("wkconvert_core.names")
        if name not in ("__all__", *names.__all__):
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(names, name)
