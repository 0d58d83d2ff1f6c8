# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Makes reports fit to be sent away: who and where is replaced by tokens of the same length, what the parser reads stays.

The same word becomes the same token in all reports of one recording, two words never the same, and the tokens are drawn anew for
every recording, so nobody can look them up. Only letters and figures change, class by class: a newline, a quote or a byte that is no
text stays what and where it is. A range of nodes still counts, an id still is one.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from hpcbridge.schedulers.anonymise.fields import FIELDS, NEUTRAL, VOCABULARY, Kind
from hpcbridge.schedulers.anonymise.spans import Span, spans_of
from hpcbridge.schedulers.report import Report

_RUN = re.compile(r"[^\W\d_]+|\d+")
_LETTERS = re.compile(r"[^\W\d_]+")
_UNIT = {
    "&": re.compile(r"&#?\w{1,8};|%lt;|%gt;|%amp;"),
    "\\": re.compile(r"\\u[0-9A-Fa-f]{4}|\\."),
}
_ESCAPED = re.compile(r"\\u[0-9A-Fa-f]{4}|\\.")
_CALLED = re.compile(r"[^\W_][\w-]*(?:\.[\w-]+)*")
_PARTS = (re.compile(r"[\w-]+"), re.compile(r"[^\W_]+"))
_FIGURE = re.compile(
    r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[-+]?\d+|[kKMGTPE]?[bBwsi]{0,2}|%)?"  # 12, 5., 1e999, 2gb, 100M
    r"|(?:\d+-)?\d+(?::\d\d)+(?:\.\d+)?"  # 1-02:00:00
    r"|\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)?"
    r"|(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) \w{3} [ \d]\d \d\d:\d\d:\d\d(?: \w{3,4})? \d{4}",
    re.ASCII,
)
_ADDRESS = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}(?!\d)", re.ASCII)
_IN_NOTATION = re.compile(
    r"(?<=[@(])([A-Za-z][\w.-]*)"  # all.q@node01, (cn01:ncpus=4)
    r"|(?<=\[)([A-Za-z][\w.-]*)(?==)"  # 16,[gpu01=8]
    r"|([A-Za-z][\w.-]*?)(?=\[\d)"  # UnavailableNodes:c[1-3]
    r"|([A-Za-z][\w.-]*?)(?=-gpu/)"  # node03-gpu/0
    r"|(?<=-[UPu] )([A-Za-z][\w.,-]*)"  # -U physics -P project, in the category of qacct
)
_NONCE = re.compile(r"(?<![0-9A-Za-z])(?=[a-f]*[0-9])[0-9a-f]{8,32}(?![0-9A-Za-z])")
_NUMBERED = re.compile(r"(?<=uid )\d+|(?<=gid )\d+|(?<=uid=)\d+|(?<=gid=)\d+", re.IGNORECASE)
_QUALIFIED = re.compile(r"(?<![\w/.-])(?:\d+(?:\[\d*\])?\.)?([A-Za-z][\w-]*(?:\.[A-Za-z][\w-]*){2,})(?![\w/])")
_HOSTS = re.compile(r"[A-Za-z][\w.-]*")
_STATUS = re.compile(r"(?:(?<=,)|^)(\w+)=([^,]*)")
_STATE_BY = re.compile(r"(?<= by )\d+")
_COLUMNS = frozenset(name for name in FIELDS if ":" not in name) | frozenset({"qname", "hostname", "slots", "jobnumber"})
_ASCII = "abcdefghijklmnopqrstuvwxyz"
_POOLS = {2: (0x0430, 32), 3: (0x4E00, 0x5000), 4: (0x20000, 0xA000)}
"""Letters of two, three and four bytes in UTF-8: Cyrillic, Chinese, rare Chinese."""
_SHORT = 3
_TRIES = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Anonymised:
    """The reports with tokens, how many values of each sort were replaced, and which words need a person's eye."""

    reports: Mapping[str, Report]
    replaced: Mapping[str, int]
    common: tuple[str, ...]
    """Names that are words of a scheduler too: replaced where they name somebody, left where the scheduler speaks."""
    short: tuple[str, ...]
    """Names too short to be looked for in the result."""
    left: Mapping[str, tuple[str, ...]]
    """Names that are still there, with the files they are in."""


def anonymise(reports: Mapping[str, Report], *, known: Iterable[str] = (), source: random.Random | None = None) -> Anonymised:
    """Replaces names in every report; `known` are more names, of people or hosts, that must not be left anywhere."""
    texts = {
        (query, stream): getattr(report, stream).decode("utf-8", "surrogateescape")
        for query, report in reports.items()
        for stream in ("stdout", "stderr")
    }
    names = _Names(Tokens(source or random.SystemRandom()))
    for name in known:
        names.note_host(name)
    for text in texts.values():
        names.collect(text)
    names.settle()
    done = {place: names.apply(text) for place, text in texts.items()}
    made = {
        query: replace(
            report,
            argv=tuple(names.in_command(argument) for argument in report.argv),
            stdout=done[query, "stdout"].encode("utf-8", "surrogateescape"),
            stderr=done[query, "stderr"].encode("utf-8", "surrogateescape"),
        )
        for query, report in reports.items()
    }
    ends = {"stdout": "out", "stderr": "err"}
    files = {f"{query}.{ends[stream]}": text for (query, stream), text in done.items()}
    files["meta.json"] = "\n".join(argument for report in made.values() for argument in report.argv)
    return Anonymised(
        reports=made,
        replaced=dict(names.replaced),
        common=tuple(sorted(names.common)),
        short=tuple(sorted(name for name in names.all if len(name) < _SHORT)),
        left=names.left_in(files),
    )


class Tokens:
    """Draws a token for each run of letters or figures: same length, same case, and never the same for two runs."""

    def __init__(self, source: random.Random) -> None:
        self._source = source
        self._drawn: dict[str, str] = {}
        self._used: set[str] = set()

    def avoid(self, names: Iterable[str]) -> None:
        """No token will be a word of `names`, so that a name found in the result is one that was left."""
        self._used.update(run.lower() for name in names for run in _RUN.findall(name) if len(run) >= _SHORT)

    def of(self, text: str, *, figures: bool) -> str:
        """`text` with each run replaced; figures stay unless `figures`."""
        return (_RUN if figures else _LETTERS).sub(lambda match: self._run(match.group()), text)

    def _run(self, run: str) -> str:
        lower = run.lower() if len(run.lower()) == len(run) else run
        token = self._drawn.get(lower)
        if token is None:
            token = self._drawn[lower] = self._draw(lower)
            self._used.add(token)
        return "".join(new.upper() if old.isascii() and old.isupper() else new for new, old in zip(token, run, strict=True))

    def _draw(self, run: str) -> str:
        token = run
        for _ in range(_TRIES):
            token = "".join(self._like(character) for character in run)
            if token not in self._used and token != run and token not in VOCABULARY and token not in NEUTRAL:
                return token
        # short words may all be taken: then any letter that nobody has, and in the end the word itself
        free = (run[:-1] + letter for letter in (_ASCII if run[-1].isalpha() else "123456789"))
        return next((each for each in free if each not in self._used and each != run), token)

    def _like(self, character: str) -> str:
        if character.isdecimal() and character.isascii():
            return self._source.choice("123456789")  # no zero: 0123 is no number of JSON
        if character.isascii():
            return self._source.choice(_ASCII)
        start, size = _POOLS.get(len(character.encode("utf-8", "surrogatepass")), (ord(character), 1))
        return chr(start + self._source.randrange(size))


class _Names:
    """All names of one recording: noted in a first pass over all reports, replaced in a second."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self._hosts: set[str] = set()
        self._words: set[str] = set()
        self._jobs: set[str] = set()
        self._prefixes: set[str] = set()
        self._spoken: set[str] = set()
        self._queues: set[str] = set()
        self._token_of: dict[str, str] = {}
        self.replaced: Counter[str] = Counter()
        self.common: set[str] = set()

    @property
    def all(self) -> set[str]:
        """Every name that was noted."""
        return self._hosts | self._words | self._jobs

    def collect(self, text: str) -> None:
        """Notes who and what is named in a report."""
        for span in spans_of(text, _COLUMNS):
            self._collect_value(_kind_of(span), text[span.start : span.end], span)

    def note_host(self, name: str) -> None:
        """Notes a node, with its short name and its domain."""
        if name in NEUTRAL or not name or not name[0].isalpha():
            return
        self._hosts.add(name)
        short, _, domain = name.partition(".")
        self._hosts.add(short)
        if "." in domain:
            self._hosts.add(domain)
        self._prefixes.add(re.split(r"\d", short, maxsplit=1)[0])

    def settle(self) -> None:
        """After the first pass: every name gets its token, unless the scheduler itself speaks that word."""
        self._tokens.avoid(self.all)
        for names, figures in ((self._words, True), (self._hosts, False)):
            for name in names:
                if name.lower() in VOCABULARY or name in self._spoken:
                    self.common.add(name)
                else:
                    self._token_of[name] = self._tokens.of(name, figures=figures)
        self.common |= {name for name in self._jobs if name.lower() in VOCABULARY or name in self._spoken | self._queues}

    def apply(self, text: str) -> str:
        """The report with every value replaced as its field demands."""
        pieces: list[str] = []
        place = 0
        for span in spans_of(text, _COLUMNS):
            if span.start < place:
                continue
            pieces.append(text[place : span.start])
            pieces.append(self._value(_kind_of(span), text[span.start : span.end], span))
            place = span.end
        pieces.append(text[place:])
        return "".join(pieces)

    def in_command(self, argument: str) -> str:
        """An argument of the command that was run: folders of this machine are left out, names replaced."""
        if argument.startswith("/"):
            argument = "/".join(argument.split("/")[-2:])
        return self._called(argument)

    def left_in(self, files: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
        """Names that stand in a file as whole words although they should not."""
        wanted = {name for name in self.all - self.common if len(name) >= _SHORT} - set(self._token_of.values())
        found: dict[str, list[str]] = {}
        for file, text in files.items():
            present = {match.group() for form in (_CALLED, *_PARTS) for match in form.finditer(text)}
            for name in sorted(wanted & present):
                found.setdefault(name, []).append(file)
        return {name: tuple(places) for name, places in found.items()}

    def _collect_value(self, kind: Kind, value: str, span: Span) -> None:
        if value.strip() in NEUTRAL or (span.bare and not value.isdecimal()):
            return
        if span.marks == "\\":
            value = _ESCAPED.sub(" ", value)
        match kind:
            case Kind.HOST:
                self._collect_hosts(value)
            case Kind.WORD:
                self._words.update(name for name in re.split(r"[\s,:;]+", value) if _can_be_named(name))
            case Kind.NAME:
                self._jobs.update({value} if _can_be_named(value) and _CALLED.fullmatch(value) else ())
            case Kind.OWNER_AT_HOST:
                for person in re.split(r"[\s,]+", value):
                    name, _, host = person.partition("@")
                    if span.field.lower() != "qinstance_name":
                        self._words.update({name} if _can_be_named(name) else ())
                    self._collect_hosts(host)
            case Kind.JOB_ID:
                self._collect_hosts(value.partition(".")[2])
            case Kind.MIXED:
                for match in _IN_NOTATION.finditer(value):
                    self._collect_hosts(match.group().partition(":")[0])
                self._queues.update(match.group() for form in _PARTS for match in form.finditer(value))
            case Kind.MESSAGE:
                for match in _QUALIFIED.finditer(value):
                    self.note_host(match.group(1))
            case Kind.SECRET:
                name = value.partition("(")[0]
                self._words.update({name} if _can_be_named(name) and "id" in span.field.lower() else ())
            case Kind.NESTED:
                for match in _STATUS.finditer(value):
                    self._collect_value(_kind_in(span, match.group(1)), match.group(2), span)
            case Kind.KEEP | Kind.STATE:
                self._spoken.update(match.group() for match in _PARTS[1].finditer(value))
            case _:
                pass

    def _collect_hosts(self, value: str) -> None:
        for match in _HOSTS.finditer(value):
            if value[match.end() : match.end() + 1] == "[":
                self._prefixes.add(re.split(r"\d", match.group(), maxsplit=1)[0])
            else:
                self.note_host(match.group())

    def _value(self, kind: Kind, value: str, span: Span) -> str:
        if value.strip() in NEUTRAL or not value.strip():
            return value
        if kind is not Kind.SECRET and kind is not Kind.WORD and kind is not Kind.NAME and _FIGURE.fullmatch(value.strip()):
            return value
        if span.bare and not (value.isdecimal() and value[0] != "0" and len(value) >= _SHORT):
            return value  # nan, 1e999: the parser has to cope with them
        new = self._replaced(kind, value, span)
        if new != value:
            self.replaced[kind.name.lower()] += 1
        return new

    def _replaced(self, kind: Kind, value: str, span: Span) -> str:
        match kind:
            case Kind.KEEP:
                return value
            case Kind.MIXED:
                return self._mixed(self._numbers(_NUMBERED, value))
            case Kind.HOST | Kind.JOB_ID:
                return _around(span.marks, value, self._hosts_of)
            case Kind.OWNER_AT_HOST:
                return re.sub(r"([^\s,@]+)(?:@([^\s,@]+))?", lambda match: self._at_host(match, span), value)
            case Kind.WORD | Kind.NAME | Kind.SECRET:
                return _around(span.marks, value, lambda text: self._tokens.of(text, figures=True))
            case Kind.STATE:
                return self._numbers(_STATE_BY, value)
            case Kind.NESTED:
                return _STATUS.sub(lambda match: self._one_status(match, span), value)
            case Kind.MESSAGE:
                return _around(span.marks, self._numbers(_ADDRESS, self._numbers(_NUMBERED, value)), self._message)
            case Kind.FREE:
                return _around(span.marks, value, self._free)

    def _numbers(self, form: re.Pattern[str], text: str) -> str:
        return form.sub(lambda match: self._tokens.of(match.group(), figures=True), text)

    def _one_status(self, match: re.Match[str], span: Span) -> str:
        key, value = match.groups()
        return f"{key}={self._value(_kind_in(span, key), value, span)}"

    def _hosts_of(self, text: str) -> str:
        return _HOSTS.sub(lambda match: match.group() if match.group() in NEUTRAL else self._tokens.of(match.group(), figures=False), text)

    def _at_host(self, match: re.Match[str], span: Span) -> str:
        name, host = match.groups()
        if span.field.lower() == "qinstance_name" and host is not None:
            new = name
        else:
            new = name if name in NEUTRAL else _around(span.marks, name, lambda text: self._tokens.of(text, figures=True))
        return new if host is None else f"{new}@{self._hosts_of(host)}"

    def _mixed(self, text: str) -> str:
        """Nodes where the notation says that one stands, and known names anywhere else."""
        pieces: list[str] = []
        place = 0
        for match in _IN_NOTATION.finditer(text):
            pieces += [self._called(text[place : match.start()]), self._hosts_of(match.group())]
            place = match.end()
        return "".join([*pieces, self._called(text[place:])])

    def _called(self, text: str) -> str:
        """`text` with the names of nodes and people replaced, all other words kept."""
        return _CALLED.sub(lambda match: self._one(match.group(), ranged=text[match.end() : match.end() + 1] == "["), text)

    def _one(self, text: str, *, ranged: bool) -> str:
        if text in self._token_of:
            return self._token_of[text]
        if ranged and text.rstrip("0123456789") in self._prefixes:
            return self._tokens.of(text, figures=False)
        labels = text.split(".")
        for length in range(len(labels) - 1, 0, -1):  # 47.head1.example.org: the longest name in it
            for start in range(len(labels) - length + 1):
                name = ".".join(labels[start : start + length])
                if name in self._token_of:
                    before, after = labels[:start], labels[start + length :]
                    return ".".join([*map(self._part, before), self._token_of[name], *map(self._part, after)])
        return ".".join(map(self._part, labels))

    def _part(self, label: str) -> str:
        return self._token_of.get(label) or _PARTS[1].sub(lambda match: self._token_of.get(match.group(), match.group()), label)

    def _free(self, text: str) -> str:
        return self._either(text, lambda word: self._tokens.of(word, figures=True))

    def _message(self, text: str) -> str:
        def unknown(word: str) -> str:
            return _LETTERS.sub(lambda run: run.group() if _is_common(run.group()) else self._tokens.of(run.group(), figures=False), word)

        pieces: list[str] = []
        place = 0
        for match in _NONCE.finditer(text):  # drawn by our own script, and the parser looks for it
            pieces += [self._either(text[place : match.start()], unknown), match.group()]
            place = match.end()
        return "".join([*pieces, self._either(text[place:], unknown)])

    def _either(self, text: str, otherwise: Callable[[str], str]) -> str:
        """Known names by their own token; what stands between them, by `otherwise`."""
        pieces: list[str] = []
        place = 0
        for match in _CALLED.finditer(text):
            new = self._one(match.group(), ranged=text[match.end() : match.end() + 1] == "[")
            if new != match.group():
                pieces += [otherwise(text[place : match.start()]), new]
                place = match.end()
        return "".join([*pieces, otherwise(text[place:])])


def _kind_of(span: Span) -> Kind:
    field = span.field.lower()
    return FIELDS.get(f"{span.form}:{field}") or FIELDS.get(field) or Kind.FREE


def _kind_in(span: Span, field: str) -> Kind:
    return _kind_of(replace(span, form="status", field=field))


def _can_be_named(name: str) -> bool:
    return name not in NEUTRAL and any(character.isalnum() for character in name) and not (name.isdecimal() and len(name) < _SHORT)


def _is_common(run: str) -> bool:
    return run.lower() in VOCABULARY or run in NEUTRAL


def _around(marks: str, text: str, change: Callable[[str], str]) -> str:
    """Changes what stands between the escapes of the report's form."""
    unit = _UNIT.get(marks)
    if unit is None:
        return change(text)
    pieces: list[str] = []
    place = 0
    for match in unit.finditer(text):
        pieces += [change(text[place : match.start()]), match.group()]
        place = match.end()
    return "".join([*pieces, change(text[place:])])
