"""What a reader's own Cypher may do: read the graph, and nothing else.

A query passes two allowlists, of which neither is enough alone:

- **The text**, split into the tokens that the server's own lexer sees. It shows every procedure
  and function, also those that the plan does not: the server leaves the inside of a subquery that
  stands in a list comprehension or CASE out of its plan, and runs ``LOAD CSV``, ``SHOW`` and
  ``CALL dbms.listConfig()`` there all the same, in READ mode.
- **The plan** that EXPLAIN gives of that very text. It shows what the text is to the server: an
  operator that is not known to read is refused, so a clause that nobody here has heard of is too.

READ mode, a time limit and a row cap stand behind both; see :mod:`queries.cypher`.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NoReturn, cast

from store.database import Database
from store.errors import QueryRefused

LONGEST_TEXT = 100_000
"""Bytes of a query's text, in UTF-8."""

DEEPEST_NESTING = 50
"""Brackets within brackets. The server's parser is recursive: 200 overflow its stack, and then it
sends no answer at all."""

LANGUAGES = frozenset({"5", "25"})
"""Cypher versions that ``CYPHER n`` may choose."""

PROCEDURES = frozenset(
    {
        "db.info",
        "db.labels",
        "db.ping",
        "db.propertyKeys",
        "db.relationshipTypes",
        "db.schema.nodeTypeProperties",
        "db.schema.relTypeProperties",
        "db.schema.visualization",
    }
)
"""Procedures that only tell what is in the graph. Mode READ is no such promise: it is also that of
``db.resampleIndex``, ``db.stats.clear`` and ``gds.graph.drop``."""

_COMPUTING = """
date.realtime date.statement date.transaction date.truncate
datetime.realtime datetime.statement datetime.transaction datetime.truncate
datetime.fromEpoch datetime.fromEpochMillis
localdatetime.realtime localdatetime.statement localdatetime.transaction localdatetime.truncate
localtime.realtime localtime.statement localtime.transaction localtime.truncate
time.realtime time.statement time.transaction time.truncate
duration.between duration.inDays duration.inMonths duration.inSeconds
point.distance point.withinBBox
vector.similarity.cosine vector.similarity.euclidean

coll.distinct coll.flatten coll.indexOf coll.insert coll.max coll.min coll.remove coll.sort
string.indexOf string.join string.regexReplace uuid.leastSignificantBits uuid.mostSignificantBits

gds.similarity.cosine gds.similarity.euclidean gds.similarity.euclideanDistance
gds.similarity.jaccard gds.similarity.overlap gds.similarity.pearson
gds.util.NaN gds.util.asNode gds.util.asNodes gds.util.infinity gds.util.isFinite
gds.util.isInfinite gds.util.oneHotEncoding gds.version
"""
FUNCTIONS = frozenset(_COMPUTING.split())
"""Functions with a namespace that have no effect; ``gds.graph.project`` is a function too, and has
one. Those without a namespace are the server's own, which all only compute: a plugin's function
must have one."""

# The server finds its own functions in any case.
_PURE = frozenset(name.lower() for name in FUNCTIONS)

_READING = """
AllNodesScan IntersectionNodeByLabelsScan NodeByElementIdSeek NodeByIdSeek NodeByLabelScan
SubtractionNodeByLabelsScan UnionNodeByLabelsScan DynamicLabelNodeLookup
NodeIndexContainsScan NodeIndexEndsWithScan NodeIndexScan NodeIndexSeek NodeIndexSeekByRange
NodeUniqueIndexSeek NodeUniqueIndexSeekByRange MultiNodeIndexSeek NodeFulltextIndexSearch
NodeVectorIndexSearch NodeCountFromCountStore RelationshipCountFromCountStore

DirectedAllRelationshipsScan DirectedRelationshipByElementIdSeek DirectedRelationshipByIdSeek
DirectedRelationshipIndexContainsScan DirectedRelationshipIndexEndsWithScan
DirectedRelationshipIndexScan DirectedRelationshipIndexSeek DirectedRelationshipIndexSeekByRange
DirectedRelationshipTypeScan DirectedUnionRelationshipTypesScan
DirectedRelationshipFulltextIndexSearch DirectedRelationshipVectorIndexSearch
DynamicDirectedRelationshipTypeLookup

UndirectedAllRelationshipsScan UndirectedRelationshipByElementIdSeek
UndirectedRelationshipByIdSeek UndirectedRelationshipIndexContainsScan
UndirectedRelationshipIndexEndsWithScan UndirectedRelationshipIndexScan
UndirectedRelationshipIndexSeek UndirectedRelationshipIndexSeekByRange
UndirectedRelationshipTypeScan UndirectedUnionRelationshipTypesScan
UndirectedRelationshipFulltextIndexSearch UndirectedRelationshipVectorIndexSearch
DynamicUndirectedRelationshipTypeLookup

PartitionedAllNodesScan PartitionedIntersectionNodeByLabelsScan PartitionedNodeByLabelScan
PartitionedNodeIndexScan PartitionedNodeIndexSeek PartitionedNodeIndexSeekByRange
PartitionedSubtractionNodeByLabelsScan PartitionedUnionNodeByLabelsScan
PartitionedDirectedAllRelationshipsScan PartitionedDirectedRelationshipIndexScan
PartitionedDirectedRelationshipIndexSeek PartitionedDirectedRelationshipIndexSeekByRange
PartitionedDirectedRelationshipTypeScan PartitionedDirectedRelationshipTypesScan
PartitionedDirectedUnionRelationshipTypesScan PartitionedUndirectedAllRelationshipsScan
PartitionedUndirectedRelationshipIndexScan PartitionedUndirectedRelationshipIndexSeek
PartitionedUndirectedRelationshipIndexSeekByRange PartitionedUndirectedRelationshipTypeScan
PartitionedUndirectedUnionRelationshipTypesScan PartitionedUnwind

BidirectionalRepeat Expand OptionalExpand PathPropagatingBFS ProjectEndpoints Repeat ShortestPath
StatefulShortestPath VarLengthExpand

Anti AntiConditionalApply AntiSemiApply Apply Argument ArgumentTracker CacheProperties
CartesianProduct ConditionalApply Distinct Eager EagerAggregation EmptyResult EmptyRow Filter
LetAntiSemiApply LetSelectOrAntiSemiApply LetSelectOrSemiApply LetSemiApply Limit NodeHashJoin
NodeLeftOuterHashJoin NodeRightOuterHashJoin NullifyMetadata Optional OrderedAggregation
OrderedDistinct OrderedUnion PartialSort PartialTop ProduceResults Projection RollUpApply
SelectOrAntiSemiApply SelectOrSemiApply SemiApply Skip Sort Top Top1WithTies TriadicBuild
TriadicFilter TriadicSelection Union Unwind ValueHashJoin ValueMergeJoin
"""
OPERATORS = frozenset(_READING.split())
"""Plan operators that only read, of Neo4j 5.26 to 2026.08."""

VARIANTS = frozenset({"All", "Into", "Pruning", "BFS", "Trail", "Walk", "Acyclic"})
"""What may stand in brackets behind an operator; ``(Locking)`` is how MERGE seeks."""

_CALLS = frozenset({"ProcedureCall", "Eager ProcedureCall"})

_ONLY_READING = "only reading the graph is allowed here"

Kind = Literal["space", "comment", "text", "quoted", "word", "number", "sign"]

# Bounds are those of the server's lexer: a backslash escapes in quotation marks but not in
# backticks, a doubled backtick is one, block comments do not nest, and a line comment ends at a
# carriage return too. Everything else is printable ASCII, for which there is only one reading.
_TOKEN = re.compile(
    r"""
      (?P<space>    [ \t\r\n]+ )
    | (?P<comment>  //[^\r\n]* | /\*(?s:.*?)\*/ )
    | (?P<text>     '(?:[^'\\]|\\(?s:.))*' | "(?:[^"\\]|\\(?s:.))*" )
    | (?P<quoted>   `(?:[^`]|``)*` )
    | (?P<word>     [A-Za-z_][A-Za-z0-9_]* )
    | (?P<number>   [0-9][A-Za-z0-9_]* )
    | (?P<sign>     [!#-&(-/:-@\[\]^{|}~] )
    """,
    re.VERBOSE,
)

_UNSEEN = ("Cc", "Cs", "Zl", "Zp")
_UNTERMINATED = {"'": "a quotation mark", '"': "a quotation mark", "`": "a backtick"}


@dataclass(frozen=True)
class Token:
    """One token of a query; `name` is set for what can be a name, without its backticks."""

    kind: Kind
    text: str

    @property
    def name(self) -> str | None:
        if self.kind == "word":
            return self.text
        if self.kind == "quoted":
            return self.text[1:-1].replace("``", "`")
        return None

    def is_word(self, *words: str) -> bool:
        """Whether it is one of these keywords (upper case); a quoted name is no keyword."""
        return self.kind == "word" and self.text.upper() in words


def refuse(database: Database, text: str, parameters: Mapping[str, Any] | None = None) -> None:
    """Refuses a query that does more than read the graph; it is planned but not run.

    Parameters
    ----------
    database
        Its server plans the query.
    text
        The query, exactly as it shall be run.
    parameters
        Values of its parameters.

    Raises
    ------
    QueryRefused
        Names what is not allowed.
    InvalidQuery
        If the server cannot plan it.

    Example
    -------
    >>> refuse(database, "MATCH (n) DETACH DELETE n")                   # doctest: +SKIP
    Traceback (most recent call last):
    QueryRefused: This query uses DetachDelete; only reading the graph is allowed here.
    """
    # The text goes first: the server computes a constant LIMIT while it plans.
    check_text(text)
    check_plan(database.explain(text, dict(parameters or {})))


def check_text(text: str) -> None:
    """Refuses a text that calls or contains what no plan would show.

    Raises
    ------
    QueryRefused

    Example
    -------
    >>> check_text("RETURN 'LOAD CSV' AS harmless")
    >>> check_text("RETURN [x IN [1] | COUNT { CALL dbms . `listConfig`() RETURN 1 AS y }]")
    Traceback (most recent call last):
    store.errors.QueryRefused: This query calls dbms.listConfig; only reading the graph is ...
    """
    _check_characters(text)
    tokens = list(_tokens(text))
    _check_statement(tokens)
    _check_nesting(tokens)
    _check_clauses(tokens)
    _check_calls(tokens)


def check_plan(plan: Mapping[str, Any]) -> None:
    """Refuses a plan with an operator or procedure that is not known to read only.

    Parameters
    ----------
    plan
        As :meth:`store.database.Database.explain` gives it.

    Raises
    ------
    QueryRefused

    Example
    -------
    >>> check_plan({"operatorType": "LoadCSV@neo4j"})
    Traceback (most recent call last):
    store.errors.QueryRefused: This query uses LoadCSV; only reading the graph is allowed here.
    """
    waiting = [plan]
    while waiting:
        step = waiting.pop()
        operator, _, _ = str(step.get("operatorType", "")).partition("@")
        if operator in _CALLS:
            _check_procedure_step(step)
        elif not _reads(operator):
            _refuse(f"uses {operator or 'a plan step without a name'}")
        waiting += step.get("children", ())


def _reads(operator: str) -> bool:
    name, bracket, variants = operator.partition("(")
    if not bracket:
        return name in OPERATORS
    return (
        name in OPERATORS
        and variants.endswith(")")
        and VARIANTS.issuperset(part.strip() for part in variants[:-1].split(","))
    )


_CALLED = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*(?=\()")


def _check_procedure_step(step: Mapping[str, Any]) -> None:
    """A call's details read ``name(arguments) :: (fields)``."""
    called = _CALLED.match(str(step.get("args", {}).get("Details", "")))
    if called is None:
        _refuse("calls a procedure whose name the plan does not show")
    if called[0] not in PROCEDURES:
        _refuse(f"calls {called[0]}")


def _refuse(what: str, why: str = _ONLY_READING) -> NoReturn:
    # A name in backticks may be long and hold line breaks; the message stays one sentence.
    raise QueryRefused(f"This query {' '.join(what.split())[:200]}; {why}.")


def _check_characters(text: str) -> None:
    if len(text) > LONGEST_TEXT or len(text.encode(errors="replace")) > LONGEST_TEXT:
        _refuse(f"is longer than {LONGEST_TEXT} bytes", "pass long values as parameters")
    # Cypher 5 decodes these before it looks for quotation marks and comments, Cypher 25 does not.
    if "\\u" in text:
        _refuse("holds the escape \\u", "write the character itself, or pass it as a parameter")
    for character in text:
        # Controls, surrogates and line separators: not every reader ends a line at the same ones.
        if unicodedata.category(character) in _UNSEEN and character not in "\t\r\n":
            _refuse(f"holds the character U+{ord(character):04X}", "pass it as a parameter")


def _tokens(text: str) -> Iterator[Token]:
    """Tokens without white space and comments."""
    position = 0
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None or (text.startswith("/*", position) and found.lastgroup == "sign"):
            _refuse_rest(text, position)
        position = found.end()
        if found.lastgroup not in ("space", "comment"):
            yield Token(cast(Kind, found.lastgroup), found[0])


def _refuse_rest(text: str, position: int) -> NoReturn:
    character = text[position]
    if text.startswith("/*", position):
        _refuse("has a comment without an end", "close it with */")
    if character in _UNTERMINATED:
        _refuse(f"has {_UNTERMINATED[character]} without its other one", "close it")
    _refuse(
        f"has the character {character!r} (U+{ord(character):04X}) outside of quotation marks",
        "put such names in backticks",
    )


def _check_statement(tokens: Sequence[Token]) -> None:
    """One statement, not empty, without options that change how it is run."""
    body = [token for token in tokens if token.text != ";"]
    if not body:
        _refuse("is empty", "write one that reads the graph, such as MATCH (n:Network) RETURN n")
    if any(token.text == ";" for token in tokens[: len(body)]):
        _refuse("has more than one statement", "send them one by one")
    if body[0].is_word("CYPHER"):
        body = _without_version(body)
    if body and body[0].is_word("EXPLAIN", "PROFILE"):
        _refuse(f"begins with {body[0].text.upper()}", "leave it out")


def _without_version(tokens: Sequence[Token]) -> list[Token]:
    if len(tokens) < 3 or tokens[1].text not in LANGUAGES or tokens[2].name is None:
        _refuse("begins with an option of CYPHER", "only CYPHER 5 and CYPHER 25 are allowed here")
    if len(tokens) > 3 and tokens[3].text == "=":
        _refuse(f"sets the option {tokens[2].text}", "leave it out")
    return list(tokens[2:])


def _check_nesting(tokens: Sequence[Token]) -> None:
    depth = 0
    for token in tokens:
        if token.text in ("(", "[", "{"):
            depth += 1
        elif token.text in (")", "]", "}"):
            depth -= 1
        if depth > DEEPEST_NESTING:
            _refuse(
                f"nests brackets more than {DEEPEST_NESTING} deep", "split it up with WITH or LET"
            )


def _check_clauses(tokens: Sequence[Token]) -> None:
    """Clauses that may hide in an expression, wherever two such words meet."""
    for here, after in itertools.pairwise(tokens):
        if here.is_word("LOAD") and after.is_word("CSV"):
            _refuse("uses LOAD CSV")
        if here.is_word("SHOW", "TERMINATE") and after.kind == "word":
            _refuse(f"uses {here.text.upper()} {after.text.upper()}")
        if here.is_word("USE") and (after.name is not None or after.text in ("(", "$")):
            _refuse("uses USE", "it may read this database only; a name `use` needs backticks")


def _check_calls(tokens: Sequence[Token]) -> None:
    """Procedures after CALL, and functions that have a namespace."""
    position = 0
    while position < len(tokens):
        if tokens[position].name is None:
            position += 1
            continue
        name, end = _dotted(tokens, position)
        if tokens[position].is_word("CALL") and end == position + 1:
            if end < len(tokens) and tokens[end].name is not None:
                called, end = _dotted(tokens, end)
                if called not in PROCEDURES:
                    _refuse(f"calls {called}")
        elif (
            end < len(tokens)
            and tokens[end].text == "("
            and ("." in name or _after_dot(tokens, position))
            and name.lower() not in _PURE
        ):
            _refuse(f"calls {name}")
        position = end


def _after_dot(tokens: Sequence[Token], position: int) -> bool:
    """Whether something that is no name, and a dot, stand before; two dots are a range's."""
    before = [token.text for token in tokens[max(position - 2, 0) : position]]
    return before[-1:] == ["."] and before != [".", "."]


def _dotted(tokens: Sequence[Token], start: int) -> tuple[str, int]:
    """The name ``a . b . c`` that begins at a token, and the position behind it."""
    parts = [tokens[start].name or ""]
    end = start + 1
    while end + 1 < len(tokens) and tokens[end].text == ".":
        part = tokens[end + 1].name
        if part is None:
            break
        parts.append(part)
        end += 2
    return ".".join(parts), end
