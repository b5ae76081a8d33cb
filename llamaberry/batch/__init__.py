"""Batches: any number of questions from a JSONL file, answered into another file."""

import sys
from types import ModuleType

from llamaberry.batch.run import BatchSummary as BatchSummary
from llamaberry.batch.run import batch as batch


class _Callable(ModuleType):
    """`llamaberry.batch` is this package, whatever is imported first; called, it is the function of the same name."""

    __call__ = staticmethod(batch)


sys.modules[__name__].__class__ = _Callable
