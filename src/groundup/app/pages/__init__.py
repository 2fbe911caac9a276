"""The pages of the app. A file here that defines ``PAGE`` is one."""
