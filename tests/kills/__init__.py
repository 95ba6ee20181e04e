"""Kills: what is left of a pipeline that is killed with SIGKILL, at named points and at any time.

`points` are where a process kills itself, `child` is that process, `matrix` counts what is lost,
doubled or stuck after clean runs. `python -m tests.kills` prints the whole matrix; the tests run
a part of it.
"""
