"""The evidence behind the ledger: the protocol of every comparison, the experiments that go through it, the verdicts."""
