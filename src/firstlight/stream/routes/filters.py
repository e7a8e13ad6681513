"""Filters over the records of the stream, such as ``KN > 0.5 and phase <= 3``.

A filter is parsed into closures when the worker starts, and never evaluated as code.

::

    filter     = all {"or" all}
    all        = part {"and" part}
    part       = "not" part | comparison
    comparison = operand [operator operand {operator operand} | ["not"] "in" "[" literal {"," literal} "]"]
    operand    = NAME | NAME "[" TEXT "]" | NUMBER | TEXT | "true" | "false" | "null" | "(" filter ")"
    operator   = "<" | "<=" | ">" | ">=" | "==" | "!="

A comparison with a value that a record lacks is unknown, and so is an expression of it; a record passes if
its filter is true. Only ``== null`` and ``!= null`` tell whether a value is there.
"""

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any, Literal, NoReturn

from firstlight.errors import SettingsError
from firstlight.predictions import CLASSIFIED
from firstlight.stream.results.features import features_schema
from firstlight.stream.results.schema import ANSWER_FIELDS, record_schema
from firstlight.taxonomy import Taxonomy

Record = Mapping[str, Any]
Value = Callable[[Record], Any]
Kind = Literal["number", "text", "truth", "null"]

_TOKEN = re.compile(
    r"""\s*(?:
    (?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))
  | (?P<text>"[^"]*"|'[^']*')
  | (?P<name>[A-Za-z_]\w*(?:[.-]\w+)*)
  | (?P<operator><=|>=|==|!=|<|>)
  | (?P<sign>[()\[\],])
    )""",
    re.VERBOSE | re.ASCII,
)
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
_WORDS = ("and", "or", "not", "in", "true", "false", "null")
_DEPTH = 64  # of parentheses and "not"


class FilterError(SettingsError):
    """A filter that cannot be parsed; `excerpt` shows the place."""

    def __init__(self, message: str, text: str, start: int, end: int) -> None:
        super().__init__(message)
        self._place = (text, start, end)
        self.excerpt = (text, " " * start + "^" * max(end - start, 1))

    def of(self, where: str) -> "FilterError":
        """The same error with the place of the filter before its message."""
        return FilterError(f"{where}: {self}", *self._place)


@dataclass(frozen=True, slots=True)
class Field:
    """A value of a record: how to get it, its kind, and its possible values if they are few."""

    get: Value
    kind: Kind
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Node:
    """A parsed part: how to get its value, its kind, where it stands, and its possible values or its own."""

    get: Value
    kind: Kind
    start: int
    end: int
    values: tuple[str, ...] = ()
    literal: Any = None
    is_literal: bool = False


def fields_of(
    taxonomy: Taxonomy,
    *,
    with_features: bool = False,
    with_context: bool = False,
    others: Sequence[Taxonomy] = (),
) -> dict[str, Field]:
    """The values of a record by the names that filters and bodies use.

    The name of a class or group is its probability, which is unknown for an object that is not classified:
    then a record holds the frequencies of the training set.

    Parameters
    ----------
    taxonomy : Taxonomy
        Classes of the bundle in charge.
    with_features, with_context : bool
        Whether records have the values of ``--features`` and of ``--context``.
    others : sequence of Taxonomy
        Classes of the bundles beside it, whose answers are ``others.1.label`` and so on.
    """
    properties = record_schema()["properties"]
    own = properties.pop("features")["properties"]
    context = properties.pop("context")["properties"]
    answer = {name: about for name, about in properties.items() if name in ANSWER_FIELDS}
    fields = _shares_of(taxonomy)
    if with_features:
        for name, about in own.items():
            fields[f"features.{name}"] = _field(about, _inside("features", name), "number")
            if name not in properties:
                fields[name] = fields[f"features.{name}"]
    if with_context:
        row = context.pop("redshifts")["items"]["properties"]
        for name, about in context.items():
            fields[f"context.{name}"] = _field(about, _inside("context", name), "text")
        for name, about in row.items():
            fields[f"context.{name}"] = _field(about, _most_probable(name), "number")
    fields |= _scalars(properties, taxonomy)
    for place, classes in enumerate(others):
        fields[f"others.{place + 1}.error"] = Field(
            _of_other(place, operator.methodcaller("get", "error")), "text"
        )
        for name, field in (_shares_of(classes) | _scalars(answer, classes)).items():
            fields[f"others.{place + 1}.{name}"] = replace(field, get=_answered(place, field.get))
    return fields


def _shares_of(taxonomy: Taxonomy) -> dict[str, Field]:
    """Probabilities of groups and classes, by their short and long names."""
    fields: dict[str, Field] = {}
    groups = tuple(dict.fromkeys(taxonomy.groups.get(name, name) for name in taxonomy.classes))
    for table, names in (("coarse", groups), ("proba", taxonomy.classes)):
        for name in names:
            field = Field(_share(table, name), "number")
            fields |= {f"{table}.{name}": field, name: field}
    return fields


def _scalars(properties: Mapping[str, Any], taxonomy: Taxonomy) -> dict[str, Field]:
    """The values of a record that are no tables."""
    fields: dict[str, Field] = {}
    for name, about in properties.items():
        if _kind(about) is not None:
            fields[name] = _field(about, operator.itemgetter(name))
            if name == "label":
                fields[name] = replace(fields[name], values=("", *taxonomy.classes))
    return fields


def _field(about: Mapping[str, Any], get: Value, kind: Kind = "number") -> Field:
    """A value by its schema; `kind` where that states none."""
    return Field(
        get, _kind(about) or kind, tuple(value for value in about.get("enum", ()) if value is not None)
    )


def parse_filter(text: str, fields: Mapping[str, Field]) -> Callable[[Record], bool]:
    """Parse a filter.

    Parameters
    ----------
    text : str
        The filter; the grammar is that of this module.
    fields : mapping of str to Field
        The names that it may use, as of `fields_of`.

    Returns
    -------
    callable
        Whether a record passes.

    Raises
    ------
    FilterError
        If it is no filter, or names a field that no record has.

    Examples
    --------
    >>> wanted = parse_filter("KN > 0.5 and phase <= 3", fields_of(Taxonomy()))
    >>> wanted({"status": "classified", "proba": {"KN": 0.7}, "phase": 1.5})
    True
    >>> wanted({"status": "classified", "proba": {"KN": 0.7}, "phase": None})
    False
    """
    node = _Parser(text, fields).parse()
    get = node.get
    return lambda record: get(record) is True


def _share(table: str, name: str) -> Value:
    def get(record: Record) -> Any:
        return record[table][name] if record["status"] == CLASSIFIED else None

    return get


def _inside(table: str, name: str) -> Value:
    return lambda record: record[table][name]


def _most_probable(name: str) -> Value:
    """A value of the redshift with the largest weight; None without a redshift."""

    def get(record: Record) -> Any:
        rows = record["context"]["redshifts"]
        return max(rows, key=operator.itemgetter("weight"))[name] if rows else None

    return get


def _of_other(place: int, get: Value) -> Value:
    return lambda record: get(record["others"][place])


def _answered(place: int, get: Value) -> Value:
    """A value of another bundle's answer; None if it has none."""

    def value(record: Record) -> Any:
        answer = record["others"][place]
        return None if "error" in answer else get(answer)

    return value


def _kind(about: Mapping[str, Any]) -> Kind | None:
    """The kind of a field by its schema; None for a table."""
    if "enum" in about:
        return "text"
    types = about["type"] if isinstance(about["type"], list) else [about["type"]]
    kinds: dict[str, Kind] = {"number": "number", "integer": "number", "string": "text", "boolean": "truth"}
    return kinds.get(types[0])


class _Parser:
    """Recursive descent over the tokens of a filter."""

    def __init__(self, text: str, fields: Mapping[str, Field]) -> None:
        self._text, self._fields = text, fields
        self._tokens = self._split()
        self._at = self._depth = 0

    def parse(self) -> _Node:
        node = self._any()
        if self._next.kind != "end":
            self._fail(self._next, "expected and, or, a comparison or the end")
        return self._truth(node)

    def _split(self) -> list[_Token]:
        tokens, at = [], 0
        text = self._text
        while text[at:].strip():
            match = _TOKEN.match(text, at)
            if match is None or match.lastgroup is None:
                start = at + len(text[at:]) - len(text[at:].lstrip())
                one = _Token("", text[start], start, start + 1)
                hint = {"=": "; write == to compare", "&": "; write and", "|": "; write or"}.get(one.text, "")
                self._fail(one, f"{one.text!r} has no meaning here{hint}")
            kind = match.lastgroup
            tokens.append(_Token(kind, match[kind], match.start(kind), match.end(kind)))
            at = match.end()
        end = len(text.rstrip())
        return [*tokens, _Token("end", "", end, end + 1)]

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _take(self, *texts: str) -> _Token | None:
        """The next token if it is one of these words or signs."""
        token = self._next
        if token.kind in ("text", "number", "end") or token.text not in texts:
            return None
        self._at += 1
        return token

    def _fail(self, place: "_Token | _Node", message: str) -> NoReturn:
        raise FilterError(message, self._text, place.start, place.end)

    def _truth(self, node: _Node) -> _Node:
        if node.kind not in ("truth", "null"):
            self._fail(node, f"this is a {node.kind}: compare it with something, as in > 0.5 or == 'KN'")
        return node

    def _any(self) -> _Node:
        return self._joined("or", self._all)

    def _all(self) -> _Node:
        return self._joined("and", self._part)

    def _joined(self, word: str, part: Callable[[], _Node]) -> _Node:
        node = part()
        if self._next.text != word or self._next.kind != "name":
            return node
        parts = [self._truth(node)]
        while self._take(word):
            parts.append(self._truth(part()))
        decides = word == "or"  # the value of one part that decides
        gets = [item.get for item in parts]

        def get(record: Record) -> bool | None:
            """Three-valued `and` or `or`: None if an unknown part could decide."""
            found: bool | None = not decides
            for value in gets:
                if (one := value(record)) is decides:
                    return decides
                if one is None:
                    found = None
            return found

        return _Node(get, "truth", parts[0].start, parts[-1].end)

    def _part(self) -> _Node:
        token = self._take("not")
        if token is None:
            return self._comparison()
        self._enter(token)
        node = self._truth(self._part())
        self._depth -= 1
        inner = node.get

        def get(record: Record) -> bool | None:
            value = inner(record)
            return None if value is None else not value

        return _Node(get, "truth", token.start, node.end)

    def _enter(self, token: _Token) -> None:
        self._depth += 1
        if self._depth > _DEPTH:
            self._fail(token, f"more than {_DEPTH} levels")

    def _comparison(self) -> _Node:
        left = self._operand()
        if self._take("in"):
            return self._membership(left, is_in=True)
        if self._next.text == "not" and self._tokens[self._at + 1].text == "in":
            self._at += 2
            return self._membership(left, is_in=False)
        pairs = []
        first = left
        while self._next.kind == "operator":
            sign = self._next
            self._at += 1
            right = self._operand()
            pairs.append(self._compared(left, sign, right))
            left = right
        if not pairs:
            return left
        if len(pairs) == 1:
            return _Node(pairs[0], "truth", first.start, left.end)

        def get(record: Record) -> bool | None:
            """Whether all pairs of the chain hold; None if one is unknown and none is false."""
            found: bool | None = True
            for pair in pairs:
                if (one := pair(record)) is False:
                    return False
                if one is None:
                    found = None
            return found

        return _Node(get, "truth", first.start, left.end)

    def _compared(self, left: _Node, sign: _Token, right: _Node) -> Value:
        compare = _OPERATORS[sign.text]
        if "null" in (left.kind, right.kind):
            if sign.text not in ("==", "!="):
                self._fail(sign, "null is compared by == and != only")
            other, wanted = (right if left.kind == "null" else left).get, sign.text == "=="
            return lambda record: (other(record) is None) is wanted
        if left.kind != right.kind:
            self._fail(right, f"a {right.kind} is compared with a {left.kind}")
        if left.kind != "number" and sign.text not in ("==", "!="):
            self._fail(sign, f"a {left.kind} is compared by == and != only")
        self._check_value(left, right)
        self._check_value(right, left)
        first, second = left.get, right.get
        if right.is_literal:
            constant = right.literal

            def against(record: Record) -> bool | None:
                value = first(record)
                return None if value is None else compare(value, constant)

            return against

        def get(record: Record) -> bool | None:
            one, other = first(record), second(record)
            return None if one is None or other is None else compare(one, other)

        return get

    def _membership(self, left: _Node, *, is_in: bool) -> _Node:
        if not self._take("["):
            self._fail(self._next, "expected a list in brackets, as in label in ['SNIa', 'SNII']")
        items = []
        while True:
            item = self._operand()
            if not item.is_literal or item.kind != left.kind:
                self._fail(item, f"expected a {left.kind} in the list")
            self._check_value(left, item)
            items.append(item.literal)
            if not self._take(","):
                break
        end = self._take("]") or self._fail(self._next, "expected , or ]")
        get, wanted = left.get, frozenset(items)

        def found(record: Record) -> bool | None:
            value = get(record)
            return None if value is None else (value in wanted) is is_in

        return _Node(found, "truth", left.start, end.end)

    def _check_value(self, field: _Node, literal: _Node) -> None:
        """Refuse a text that the field never has."""
        if literal.is_literal and field.values and literal.literal not in field.values:
            known = ", ".join(repr(value) for value in field.values)
            self._fail(literal, f"{literal.literal!r} is none of its values: {known}")

    def _operand(self) -> _Node:
        token = self._next
        self._at += token.kind != "end"
        if token.kind == "number":
            return _literal(token, "number", float(token.text))
        if token.kind == "text":
            return _literal(token, "text", token.text[1:-1])
        if token.text == "(":
            self._enter(token)
            node = self._any()
            self._depth -= 1
            end = self._take(")") or self._fail(self._next, "expected )")
            return _Node(
                node.get, node.kind, token.start, end.end, node.values, node.literal, node.is_literal
            )
        if token.text in ("true", "false"):
            return _literal(token, "truth", token.text == "true")
        if token.text == "null":
            return _literal(token, "null", None)
        if token.kind != "name" or token.text in _WORDS:
            self._fail(token, "expected a name, a number, a text in quotes or a parenthesis")
        return self._named(token)

    def _named(self, token: _Token) -> _Node:
        name, end = token.text, token.end
        if name in ("proba", "coarse") and self._take("["):
            key = self._next
            if key.kind != "text":
                self._fail(key, "expected the name of a class in quotes")
            self._at += 1
            end = (self._take("]") or self._fail(self._next, "expected ]")).end
            name, token = f"{name}.{key.text[1:-1]}", _Token("name", name, token.start, end)
        field = self._fields.get(name)
        if field is None:
            near = get_close_matches(name, self._fields, 1, 0.5)
            hint = f"; did you mean {near[0]}?" if near else ""
            if name.removeprefix("features.") in features_schema()["properties"]:
                hint = "; it needs --features"
            elif name.startswith("context."):
                hint = "; it needs --context" if "context.error" not in self._fields else hint
            elif name.startswith("others."):
                hint = hint if "others.1.error" in self._fields else "; it needs a second --bundle"
            self._fail(token, f"{name} is no value of a record, no class and no group{hint}")
        return _Node(field.get, field.kind, token.start, end, field.values)


def _literal(token: _Token, kind: Kind, value: Any) -> _Node:
    return _Node(lambda record: value, kind, token.start, token.end, (), value, is_literal=True)
