"""The web app: chat, learning and operations in one local page."""
