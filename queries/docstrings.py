"""What a docstring in NumPy's style says, as plain text for a help and an address."""

from __future__ import annotations

import re


def parameter_texts(documented: str) -> dict[str, str]:
    """What a docstring's section "Parameters" says of each, as plain text.

    Example
    -------
    >>> parameter_texts(parameter_texts.__doc__)
    {}
    >>> parameter_texts('''One.
    ...
    ... Parameters
    ... ----------
    ... k, bias
    ...     How ``many``
    ...     of them.
    ... ''')
    {'k': 'How `many` of them.', 'bias': 'How `many` of them.'}
    """
    section = re.search(
        r"^Parameters\n-+\n(.*?)(?=^[A-Z]\w+\n-+\n|\Z)", documented, re.MULTILINE | re.DOTALL
    )
    if section is None:
        return {}
    texts: dict[str, str] = {}
    for names, text in re.findall(
        r"^(\w[\w, ]*)\n((?:[ \t]+\S.*\n?|\n)+)", section.group(1), re.MULTILINE
    ):
        for name in names.split(","):
            texts[name.strip()] = plain_text(text)
    return texts


def plain_text(documented: str) -> str:
    """A docstring's text in one line, its markup as single backticks.

    Example
    -------
    >>> plain_text("As ``a`` of\\n  :func:`queries.strength.strength`.")
    'As `a` of `strength`.'
    """
    text = re.sub(r":\w+:`~?(?:[\w.]*\.)?(\w+)`", r"`\1`", " ".join(documented.split()))
    return text.replace("``", "`").replace("\\", "")
