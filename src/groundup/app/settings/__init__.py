"""The sections of the page Settings, each with its controls."""
