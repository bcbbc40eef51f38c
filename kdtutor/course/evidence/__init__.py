"""The evidence behind the ledger: the protocol of all comparisons, the experiments that go through it, the verdicts."""
