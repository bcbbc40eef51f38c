"""Wrong answers to the exercises: the mistakes that people make, as functions to be run on the same calls.

`words.md`, in the folder above, says in words what is wrong with each, under the same names. "this + that" is two
mistakes at once; what follows a colon in a name distinguishes forms of one mistake. tau is the temperature T.
"""
