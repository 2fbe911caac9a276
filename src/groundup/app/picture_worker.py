"""The process that computes pictures: it holds the model, so that no page waits while it loads.

It reads a request in JSON from each line of its standard input and answers with a line, until the
input ends. Nothing of the learner's is swapped in here: pictures show the library's own code.
"""

import importlib
import json
import os
import sys
from functools import cache
from typing import Any

from groundup.models.load import LoadedModel, load_model

__all__ = ["answer"]


@cache
def loaded(source: str) -> LoadedModel:
    return load_model(source)


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """``{"found": ...}``, what the picture's ``compute`` returns, or ``{"error": text}``."""
    try:
        picture = importlib.import_module(f"groundup.app.pictures.{request['picture']}")
        return {"found": picture.compute(loaded(request["model"]), **request["values"])}
    except Exception as error:  # it is told, and the process goes on
        text = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        return {"error": text}


def main() -> None:
    os.nice(5)  # an answer of the chat comes first
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
