"""Section 3 of Hinton, Vinyals & Dean 2015 (arXiv 1503.02531), reproduced with seeds."""
