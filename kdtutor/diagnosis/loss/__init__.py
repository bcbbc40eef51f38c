"""Behind `diagnose`: which formula does a loss compute, and which known mistakes are in it?"""
