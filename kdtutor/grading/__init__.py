"""Graded assignments, through nbgrader: hand out what students get, and mark what they hand in."""
