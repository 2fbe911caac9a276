"""The web app: pages, what they keep, and who may see it."""
