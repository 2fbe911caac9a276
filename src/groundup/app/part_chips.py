"""How the state of a part is said, in the list and in the lab."""

from groundup.app.element import tag
from groundup.course.progress import PartProgress, State

__all__ = ["draw_chips"]

KINDS: dict[State, str] = {
    "not started": "",
    "started": "accent",
    "failing": "bad",
    "passed": "good",
    "changed since it passed": "warn",
    "passed older checks": "warn",
}


def draw_chips(state: PartProgress) -> None:
    """The state, and what else the record says."""
    tag("span", f"chip {KINDS[state.state]}", state.state)
    if state.swapped and state.state == "passed":
        tag("span", "chip yours", "yours in the app")
    elif state.swapped:
        tag("span", "chip warn", "swapped in, but the reference serves")
    if state.hints:
        tag("span", "chip", f"{state.hints} hint{'s' * (state.hints > 1)}")
    if state.solution_seen:
        tag("span", "chip", "solution seen")
