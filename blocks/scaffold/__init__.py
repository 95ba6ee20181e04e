"""Scaffold: a source to begin with, and what an API shows of itself.

    flags, answers (new.py) ---> Blueprint ---> source, test, project (files.py)
    requests (probe.py) ---> findings ---^

    blueprint.py    what a source is to be, as values; expressions.py: values as Python
    source.py       the source; trial.py: its test, on a replica (replica.py) of the API
    visits.py       few requests to one API
    bodies.py       what is where in an answer; tables.py: its records, their key and cursor
    candidates.py   how it may lead to the next page; numbers.py: by counting; rates.py: how often
    findings.py     what is known, and by which evidence

Here, and nowhere else in the package, something is guessed. It is done once, with evidence, into
code that its owner reads and keeps; the source itself expects what it says, and raises.
"""

from __future__ import annotations

__all__: list[str] = []
