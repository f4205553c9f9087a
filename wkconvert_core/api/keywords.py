"""Options as keyword arguments instead of a `Settings`, and progress in notebooks."""

from __future__ import annotations

import contextlib
import functools
import inspect
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import fields
from typing import Any, TypeVar

from wkconvert_core.conversion.settings import Settings
from wkconvert_core.engine.progress import Listener
from wkconvert_core.engine.resources import Resources

Result = TypeVar("Result")


ANY_RUN = {"force", "verify", *(field.name for field in fields(Resources))} - {"follow"}
"""Fields of `Settings` that count for all that writes."""


def with_keywords(function: Callable[..., Result], *options: str) -> Callable[..., Result]:
    """The function with fields of its `settings` or `resources` as keyword arguments, and `progress` for `listen`.

    Of `Settings`, these are `options` and those that count for all that writes; without `options`, all.
    `progress` is a function that is called with each `Progress`, True for a bar, or False; None is a bar in notebooks.

    >>> def convert(src: str, settings: Settings | None = None, *, listen: Listener | None = None) -> str:
    ...     return f"{src} with {settings.jobs} jobs"
    >>> with_keywords(convert)("em", jobs=3)
    'em with 3 jobs'
    >>> with_keywords(convert)("em", job=3)
    Traceback (most recent call last):
    TypeError: convert() got an unexpected keyword argument 'job'
    """
    own = dict(inspect.signature(function).parameters)
    kind: type[Resources] = Settings if "settings" in own else Resources
    place = "settings" if "settings" in own else "resources"
    keyword = inspect.Parameter.KEYWORD_ONLY
    taken = {
        name: each.replace(kind=keyword)
        for name, each in inspect.signature(kind).parameters.items()
        if not options or name in ANY_RUN.union(options)
    }
    progress = inspect.Parameter("progress", keyword, default=None, annotation="Listener | bool | None")
    del own[place], own["listen"]
    signature = inspect.Signature([*own.values(), *taken.values(), progress])

    @functools.wraps(function)
    def called(*args: Any, progress: Listener | bool | None = None, **given: Any) -> Result:
        try:
            bound = signature.bind(*args, **given).arguments
        except TypeError as error:
            raise TypeError(f"{function.__name__}() {error}") from None
        settings = kind(**{name: bound.pop(name) for name in list(bound) if name in taken})
        with _listening(progress) as listen:
            return function(**bound, **{place: settings}, listen=listen)

    called.__signature__ = signature  # type: ignore[attr-defined]  # for `help` and completion
    return called


def _listening(progress: Listener | bool | None) -> AbstractContextManager[Listener | None]:
    """The listener that `progress` asks for."""
    if callable(progress):
        return contextlib.nullcontext(progress)
    is_notebook = "ipykernel" in sys.modules
    if not (is_notebook if progress is None else progress):
        return contextlib.nullcontext(None)
    from wkconvert_core.cli.reporting.output import console
    from wkconvert_core.cli.reporting.progress_bar import shown

    return shown(console(stderr=True))
