"""All parts by week, with the state of each."""

from groundup.app.element import svg, tag
from groundup.app.part_chips import draw_chips
from groundup.course.progress import PartProgress, next_part
from groundup.course.roadmap import Week

__all__ = ["draw_lab_list"]


def draw_lab_list(
    weeks: tuple[Week, ...], parts: dict[str, str], states: dict[str, PartProgress]
) -> None:
    """Arguments:
    weeks: of the roadmap.
    parts: the summaries of those that the library has, by id.
    states: of the parts; empty without a workspace.
    """
    following = next_part(weeks, states) if states else None
    if following is not None:
        week, state = following
        with tag("a", "card labs-next", href=f"/labs/{state.part.id}"):
            with tag("span", "grow stack"):
                tag("span", "muted small-text", f"Next · week {week.number}")
                tag("strong", "", state.part.id)
                tag("span", "muted", state.part.summary)
            tag("span", "muted figure", f"{state.part.minutes} min")
            svg("arrow-right")
    for week in weeks:
        here = [part for part in week.parts if part.id in parts]
        if not here:
            continue
        coming = len(week.parts) - len(here)
        with tag("section", "labs-week"):
            with tag("h2", "row"):
                tag("span", "muted figure", f"Week {week.number}")
                tag("span", "", week.title)
            with tag("ul", "labs-parts"):
                for planned in here:
                    with tag("li"), tag("a", "labs-part", href=f"/labs/{planned.id}"):
                        done = planned.id in states and states[planned.id].ever_passed
                        with tag("span", f"labs-mark {'good' if done else ''}"):
                            svg("check" if done else "flask")
                        with tag("span", "grow"):
                            tag("strong", "", planned.id)
                            tag("span", "muted", parts[planned.id])
                        if planned.id in states and states[planned.id].state != "not started":
                            with tag("span", "row labs-chips"):
                                draw_chips(states[planned.id])
            if coming:
                tag("p", "muted small-text", f"{coming} more coming in this week")
