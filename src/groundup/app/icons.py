"""The app's icons: strokes on a grid of 20, in the colour of the text around them."""

from typing import Final

__all__ = ["ICONS", "icon"]

# What stands inside <svg>.
ICONS: Final[dict[str, str]] = {
    "alert": '<path d="M10 3.2 17.5 16.5h-15z"/><path d="M10 8.2v4M10 14.4v.1"/>',
    "arrow-down": '<path d="M10 4v12M5 11l5 5 5-5"/>',
    "arrow-left": '<path d="M16 10H4M9 5l-5 5 5 5"/>',
    "arrow-right": '<path d="M4 10h12M11 5l5 5-5 5"/>',
    "arrow-up": '<path d="M10 16V4M5 9l5-5 5 5"/>',
    "book": '<path d="M10 5.5C8.4 4.3 6.2 3.9 3 4v11.5c3.2-.1 5.4.3 7 1.5 1.6-1.2 3.8-1.6 7-1.5V4c-3.2-.1-5.4.3-7 1.5zM10 5.5V17"/>',
    "calendar": '<rect x="3" y="4.5" width="14" height="12.5" rx="2"/><path d="M3 8.5h14M7 2.5v4M13 2.5v4"/>',
    "chat": '<path d="M4 4h12a1.5 1.5 0 0 1 1.5 1.5v7A1.5 1.5 0 0 1 16 14H9l-4 3.2V14H4a1.5 1.5 0 0 1-1.5-1.5v-7A1.5 1.5 0 0 1 4 4z"/>',
    "check": '<path d="m4 10.5 4 4 8-9"/>',
    "chevron-down": '<path d="m5 7.5 5 5 5-5"/>',
    "chevron-left": '<path d="m12.5 5-5 5 5 5"/>',
    "chevron-right": '<path d="m7.5 5 5 5-5 5"/>',
    "close": '<path d="m5 5 10 10M15 5 5 15"/>',
    "copy": '<rect x="7" y="7" width="10" height="10" rx="1.5"/><path d="M13 7V4.5A1.5 1.5 0 0 0 11.5 3h-7A1.5 1.5 0 0 0 3 4.5v7A1.5 1.5 0 0 0 4.5 13H7"/>',
    "download": '<path d="M10 3v9M6 8.5l4 4 4-4M3.5 16.5h13"/>',
    "edit": '<path d="m12.5 4.5 3 3L7 16H4v-3z"/><path d="m11 6 3 3"/>',
    "eye": '<path d="M2 10s3-5.5 8-5.5S18 10 18 10s-3 5.5-8 5.5S2 10 2 10z"/><circle cx="10" cy="10" r="2.4"/>',
    "flag": '<path d="M5 17.5V3.5M5 4h9.5l-2 3.5 2 3.5H5"/>',
    "flask": '<path d="M8 3h4M8.5 3v5L4 15.2A1.2 1.2 0 0 0 5 17h10a1.2 1.2 0 0 0 1-1.8L11.5 8V3M6 12.5h8"/>',
    "folder": '<path d="M2.5 15V5.5A1.5 1.5 0 0 1 4 4h3.5l2 2.2H16a1.5 1.5 0 0 1 1.5 1.5V15a1.5 1.5 0 0 1-1.5 1.5H4A1.5 1.5 0 0 1 2.5 15z"/>',
    "gauge": '<path d="M3.4 14.5a7.5 7.5 0 1 1 13.2 0"/><path d="m10 11.5 3.2-4.2"/><circle cx="10" cy="12" r="1.2"/>',
    "hint": '<path d="M7.5 13.5c0-1.6-2.5-2.4-2.5-5.6a5 5 0 0 1 10 0c0 3.2-2.5 4-2.5 5.6zM8 16.5h4"/>',
    "key": '<circle cx="6.5" cy="13.5" r="3.5"/><path d="m9 11 7.5-7.5M13.5 6.5l2.2 2.2"/>',
    "keyboard": '<rect x="2" y="5" width="16" height="10.5" rx="1.8"/><path d="M5 8.4v.1M8.3 8.4v.1M11.7 8.4v.1M15 8.4v.1M6.5 12.2h7"/>',
    "mark": '<g stroke-width="3"><path d="M2.5 5h15"/><path class="own" d="M4.5 10h11"/><path d="M7 15h6"/></g>',
    "menu": '<path d="M3 5.5h14M3 10h14M3 14.5h14"/>',
    "moon": '<path d="M16.5 12.2A7 7 0 0 1 7.8 3.5a7 7 0 1 0 8.7 8.7z"/>',
    "more": '<path d="M4.5 10v.1M10 10v.1M15.5 10v.1" stroke-width="2.6"/>',
    "path": '<circle cx="5" cy="15.5" r="2"/><circle cx="15" cy="4.5" r="2"/><path d="M7 15.5h6a3 3 0 0 0 0-6H7a3 3 0 0 1 0-5h6"/>',
    "plank": '<rect x="2.5" y="7" width="15" height="6" rx="1.5"/><path d="M5.5 10h.1M14.5 10h.1M8.5 9.2c1-.6 2 .6 3 0M8.5 11c1-.6 2 .6 3 0"/>',
    "play": '<path d="M6 4v12l10-6z"/>',
    "plus": '<path d="M10 4v12M4 10h12"/>',
    "refresh": '<path d="M16.5 8A7 7 0 0 0 4 6.3M3.5 12A7 7 0 0 0 16 13.7M4 3v3.5h3.5M16 17v-3.5h-3.5"/>',
    "search": '<circle cx="9" cy="9" r="5.5"/><path d="m13.2 13.2 3.8 3.8"/>',
    "send": '<path d="M10 16.5v-13M4.5 9 10 3.5 15.5 9"/>',
    "settings": '<path d="M3 6h8M15 6h2M3 14h2M9 14h8"/><circle cx="13" cy="6" r="2"/><circle cx="7" cy="14" r="2"/>',
    "sidebar": '<rect x="2.5" y="4" width="15" height="12" rx="2"/><path d="M8 4v12"/>',
    "stop": '<rect x="5.5" y="5.5" width="9" height="9" rx="1.5"/>',
    "sun": '<circle cx="10" cy="10" r="3.3"/><path d="M10 2.2v1.6M10 16.2v1.6M2.2 10h1.6M16.2 10h1.6M4.5 4.5l1.1 1.1M14.4 14.4l1.1 1.1M15.5 4.5l-1.1 1.1M5.6 14.4l-1.1 1.1"/>',
    "swap": '<path d="M4 7h12M13 4l3 3-3 3M16 13H4M7 10l-3 3 3 3"/>',
    "thumb-down": '<path d="M6 3.5v8l3.5 5.5c1.3 0 2-1 1.8-2.3L10.8 12h4.4a1.6 1.6 0 0 0 1.6-1.9l-1-5.2a1.7 1.7 0 0 0-1.7-1.4zM6 3.5H3v8h3"/>',
    "thumb-up": '<path d="M6 16.5v-8L9.5 3c1.3 0 2 1 1.8 2.3L10.8 8h4.4a1.6 1.6 0 0 1 1.6 1.9l-1 5.2a1.7 1.7 0 0 1-1.7 1.4zM6 16.5H3v-8h3"/>',
    "trash": '<path d="M3.5 5.5h13M8 5.5V3.5h4v2M5 5.5l.8 11h8.4l.8-11M8.4 8.5v5M11.6 8.5v5"/>',
    "upload": '<path d="M10 12.5v-9M6 7l4-4 4 4M3.5 16.5h13"/>',
    "user": '<circle cx="10" cy="7" r="3.2"/><path d="M3.8 17c.6-3.3 3-5 6.2-5s5.6 1.7 6.2 5"/>',
}  # fmt: skip


def icon(name: str) -> str:
    """The SVG of an icon. It says nothing to screen readers: what it is in has a name.

    Raises:
        KeyError: there is no such icon.
    """
    return (
        '<svg class="icon" viewBox="0 0 20 20" width="20" height="20" fill="none" '
        'stroke="currentColor" stroke-width="1.6" stroke-linecap="round" stroke-linejoin="round" '
        f'aria-hidden="true" focusable="false">{ICONS[name]}</svg>'
    )
