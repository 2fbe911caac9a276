"""A loop that never ends, at import."""

n = 0
while True: n += 1
