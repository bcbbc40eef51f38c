"""What `kdtutor bench` measures. The sides of each comparison run in turns in one process; times are medians.

Times differ between machines and days: compare ratios.
"""
