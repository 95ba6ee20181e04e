"""Simulation: random schedules of changes, faults, kills and clocks against sources that remember.

`api` is the other side, in a time of its own; `sources` are the pipelines and the process that is
killed; `schedules` draws what happens, has it happen and counts what is lost or doubled.
`python -m tests.simulation --seeds 100` runs many; the tests run a few.
"""
