"""An engine process that runs on the learner's parts: `engine_worker` behind a swap.

python -m groundup.course.swapped_engine DESCRIPTOR
"""

import sys
from functools import partial

from groundup.course.swap import current_swaps, install_swaps

__all__ = ["main"]


def main() -> None:
    """As `engine_worker.main`. It ends with `PART_FAILED` where a learner's part is to blame."""
    swaps = install_swaps(current_swaps())
    known = len(swaps.problems)  # to the server, which has told them

    from groundup.serving.engine_messages import PART_FAILED
    from groundup.serving.engine_worker import main as work
    from groundup.serving.engine_worker import make_engine

    def report() -> None:
        for problem in swaps.problems[known:]:
            print(f"groundup: {problem}", file=sys.stderr, flush=True)
        del swaps.problems[known:]

    report()
    try:
        # A learner's parts run in the plain model.
        work(partial(make_engine, fused=not swaps.parts))
    except Exception as error:
        if not swaps.blame(error):
            raise
        report()
        sys.exit(PART_FAILED)


if __name__ == "__main__":
    main()
