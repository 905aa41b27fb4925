"""A page with its answers in it: one HTML file that needs no service and no network."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from service.inside import Answer, Inside, opened
from service.panels import PANELS, Subject, records
from service.places import segment
from service.site import files
from store.database import Database
from store.errors import InvalidArgument, MemoryLimitExceeded, NotFound, TimeLimitExceeded

FURTHER_BYTES: Final = 8_000_000
"""So much of what a reader may choose goes into the file, about; what is shown at first always."""

_IMPORT_MAP: Final = re.compile(r'<script type="importmap">(.*?)</script>', re.DOTALL)
_STYLE: Final = '<link rel="stylesheet" href="./page/page.css">'
_START: Final = '<script type="module" src="./page/app.js"></script>'
_IMPORTED: Final = re.compile(r'(?:\bfrom|\bimport)\s*"([^"]+)"')
_START_HERE: Final = 'import "weightome/app.js";'
_NOT_HERE: Final = b"export default null;\n"


@dataclass(frozen=True)
class Page:
    """A whole page.

    Parameters
    ----------
    html
        Its text.
    panels
        Those that it has, as their names stand in addresses.
    answers
        How many it holds.
    left_out
        How many answers that a reader may choose it does not hold: there was no room, or they
        took too long.
    """

    html: str
    panels: tuple[str, ...]
    answers: int
    left_out: int


async def standalone(
    open_database: Callable[[], Database], name: str, panels: Sequence[str] = ()
) -> Page:
    """A network or a run as one HTML file.

    Parameters
    ----------
    open_database
        Such as :func:`store.connection.connect`.
    name
        Of a network; of a run, where no network has that name or a panel about runs is chosen.
    panels
        Some of :data:`service.panels.PANELS`, all about a network or all about a run. Default:
        all that there are.

    Returns
    -------
    Page
        What its panels show at first is in it, and of what a reader may choose as much as fits in
        :data:`FURTHER_BYTES`.

    Raises
    ------
    NotFound
        If there is neither a network nor a run of that name.
    InvalidArgument
        If there is no such panel, or some are about networks and some about runs.

    Example
    -------
    >>> page = asyncio.run(standalone(connect, "digits-060", ["neurons"]))  # doctest: +SKIP
    >>> Path("net.html").write_text(page.html, encoding="utf-8")            # doctest: +SKIP
    """
    about = _about(panels)
    async with opened(open_database) as inside:
        listed = await _networks(inside)
        subject = await _subject(inside, listed, name, about)
        about = "run" if subject.snapshots else "network"
        every = tuple(panel for panel, each in PANELS.items() if each.about == about)
        chosen = tuple(dict.fromkeys(panels)) or every
        answers = {"/v1/networks": _only(listed, subject.snapshots or (name,))}
        for panel in chosen:
            for address in PANELS[panel].first(subject):
                answers[address] = await inside.ask(address)
        left_out = await _further(inside, subject, chosen, answers)
    opening = f"#/{about}s/{segment(name)}/{chosen[0]}"
    return Page(document(answers, chosen, opening), chosen, len(answers), left_out)


def _about(panels: Sequence[str]) -> str:
    unknown = [panel for panel in panels if panel not in PANELS]
    if unknown:
        raise InvalidArgument(f"There is no panel {unknown[0]!r}: choose from {', '.join(PANELS)}.")
    about = {PANELS[panel].about for panel in panels}
    if len(about) > 1:
        raise InvalidArgument("Some of these panels are about a network and some about a run.")
    return about.pop() if about else ""


async def _networks(inside: Inside) -> Answer:
    """The list of all networks, from all its pages."""
    listed = await inside.ask("/v1/networks")
    address = listed.get("next")
    while address is not None:
        page = await inside.ask(address)
        listed["rows"] += page["rows"]
        address = page.get("next")
    return listed


def _only(listed: Answer, names: Collection[str]) -> Answer:
    """The list with some networks: who gets the file need not know what else is in the store."""
    column = listed["columns"].index("network")
    rows = [row for row in listed["rows"] if row[column] in names]
    kept = {key: value for key, value in listed.items() if key not in ("next", "after")}
    return {**kept, "rows": rows, "truncated": False}


async def _subject(inside: Inside, listed: Answer, name: str, about: str) -> Subject:
    networks = records(listed)
    if about != "run" and any(each["network"] == name for each in networks):
        return Subject(name, records(await inside.ask(f"/v1/networks/{segment(name)}/layers")))
    snapshots = tuple(each["network"] for each in networks if each["run"] == name)
    if snapshots and about != "network":
        return Subject(name, [], snapshots)
    what = {"network": "network", "run": "run", "": "network and no run"}[about]
    raise NotFound(f"There is no {what} {name!r}.")


async def _further(
    inside: Inside, subject: Subject, chosen: Sequence[str], answers: dict[str, Answer]
) -> int:
    """Adds what a reader may choose, as far as it fits; how many answers it left out."""
    room, left_out = FURTHER_BYTES, 0
    wanted = [address for panel in chosen for address in PANELS[panel].further(subject, answers)]
    for address in dict.fromkeys(wanted):
        if address in answers:
            continue
        if room <= 0:
            left_out += 1
            continue
        try:
            answer = await inside.ask(address)
        except (NotFound, InvalidArgument):
            # A choice that has no answer: links into an input, say.
            continue
        except (TimeLimitExceeded, MemoryLimitExceeded):
            left_out += 1
            continue
        answers[address] = answer
        room -= len(_json(answer))
    return left_out


def document(answers: Mapping[str, Answer], panels: Sequence[str], opening: str) -> str:
    """The page with answers in it.

    Parameters
    ----------
    answers
        By the address that gives them.
    panels
        Those that it shall have.
    opening
        What it shows when it is opened: the part of its address behind the #.

    Returns
    -------
    str
        HTML that asks for nothing: its policy forbids every connection.
    """
    page = files()["index.html"].content.decode()
    imported = _IMPORT_MAP.findall(page)[0]
    inlined = _inlined(json.loads(imported)["imports"], panels)
    imports = json.dumps({"imports": inlined})
    style = files()["page.css"].content.decode()
    policy = (
        f"default-src 'none'; script-src data: {_hash(imports)} {_hash(_START_HERE)}; "
        f"style-src {_hash(style)}; img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
    held = (
        f'<script type="application/json" id="weightome-answers" data-opening="'
        f'{html.escape(opening)}">{_json(answers)}</script>'
    )
    icon = _data_url("image/svg+xml", files()["icon.svg"].content)
    replaced = {
        '<meta charset="utf-8">': '<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{html.escape(policy)}">',
        _STYLE: f"<style>{style}</style>",
        "./page/icon.svg": icon,
        f'<script type="importmap">{imported}': f'{held}\n<script type="importmap">{imports}',
        _START: f'<script type="module">{_START_HERE}</script>',
        "</body>": f"{_licences(inlined)}</body>",
    }
    for found, text in replaced.items():
        if found not in page:
            raise RuntimeError(f"The page has no {found!r} any more.")
        page = page.replace(found, text)
    return page


def _inlined(modules: Mapping[str, str], panels: Sequence[str]) -> dict[str, str]:
    """Each module that is needed as an address that holds it whole."""
    found: dict[str, str] = {}
    waiting = ["weightome/app.js"]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        content = files()[modules[name].removeprefix("./page/")].content
        panel = re.fullmatch(r"weightome/panels/(.+)\.js", name)
        if panel and panel[1] not in panels:
            content = _NOT_HERE
        found[name] = _data_url("text/javascript", content)
        # A library is one file, and long.
        if name.startswith("weightome/"):
            waiting += _IMPORTED.findall(content.decode())
    return found


def _licences(modules: Collection[str]) -> str:
    """What the licences of the libraries in the file want to stand beside them."""
    vendored = json.loads(files()["vendor/vendor.json"].content)
    texts = [
        files()[f"vendor/{name}"].content.decode()
        for library in vendored
        if library["name"] in modules
        for name in library["licences"]
    ]
    return "".join(f'<script type="text/plain" class="licence">{text}</script>\n' for text in texts)


def _data_url(media_type: str, content: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def _hash(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _json(value: Any) -> str:
    # A name in the store may be "</script>": nothing in here can end the element.
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")
