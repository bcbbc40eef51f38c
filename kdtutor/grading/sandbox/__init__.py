"""Run other people's code in a process of its own, and call its functions from here: `sandbox.Sandbox`.

The grader's side is `sandbox`, `proxy` and `process`; the other process starts with `limits`, then runs `worker`. Both
use `messages`, `values` and `arguments`. This file imports nothing, so that the worker loads only its own side.
"""
