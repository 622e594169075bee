"""Drills of what keeps an installation alive: each does something to it and returns one figure and its bar.

The tests assert them; `make drill` prints them.
"""
