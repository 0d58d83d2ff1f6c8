# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""Where the values of a report stand, and of which field they are: for every form that a scheduler prints, told from its look.

This is no parser: it understands nothing and refuses nothing. What is in no span is the report's structure; whatever could be text
from a person is in one, and a line whose form is not recognised is a span of its own without a field.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_NONCE = re.compile(r"[^\n|]{0,40}\|([0-9A-Za-z]{8,64})\|")
_TAG = re.compile(r"<(/?)([A-Za-z][\w:.-]*)((?:\s+[\w:.-]+\s*=\s*(?:\"[^\"]*\"|'[^']*'))*)\s*/?>([^<]*)")
_ATTRIBUTE = re.compile(r"([\w:.-]+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)')")
_MARKUP = re.compile(r"\s*(?:<\?.*?\?>|<!--.*?-->|\s)*\Z", re.DOTALL)
_JSON = re.compile(r"\"(?:[^\"\\]|\\.)*\"|[{}\[\],:]|[^\s{}\[\],:\"]+|\"", re.DOTALL)
_COLON = re.compile(r"\s*:")
_SETTING = re.compile(r"([ \t]*)([A-Za-z][\w./\[\]-]*)[ \t]*= ?(?!=)")
_HEADING = re.compile(r"(Queue|Server|Node|Job Id):[ \t]*")
_COLUMN = re.compile(r"([A-Za-z_]\w*)[ \t]+")
_PAIR = re.compile(r"(?:(?<=[ \t])|^)([A-Za-z][\w/:.-]{0,40})=", re.MULTILINE)
_PAIR_AFTER = re.compile(r"(?:(?<=[ ;]))([A-Za-z][\w/:.-]{0,40})=")
_FIRST_KEY = re.compile(r"(?:JobId|NodeName|PartitionName)=")
_ACCOUNTED = re.compile(r"\d\d/\d\d/\d{4} \d\d:\d\d:\d\d;[A-Za-z];([^;\n]*);")
_COMPLEX = re.compile(r"\S+[ \t]+\S+[ \t]+(?:INT|MEMORY|TIME|DOUBLE|BOOL|RESTRING|STRING|CSTRING|HOST)[ \t]")
_PRETTY = re.compile(r"\{[ \t]*\n[ \t]*\"")
_ATTRIBUTE_LINE = re.compile(r"[ \t]*\"((?:[^\"\\\n]|\\.)*)\"[ \t]*:[ \t]*(.*?)(,?)[ \t\r]*\Z")
_STRING_LINE = re.compile(r"[ \t]*\"(.*)\"(,?)[ \t\r]*\Z")
_STRING = re.compile(r"\"((?:[^\"\\]|\\.)*)\"")
_BRACKETS = re.compile(r"[ \t]*[\]}\[{]*,?[ \t\r]*\Z")
_SCONTROL = frozenset({"jobid", "nodename", "partitionname"})
_SPOKEN = frozenset({"JobName", "Reason", "Comment", "AdminComment", "SystemComment", "Extra", "SubmitLine", "Command", "WorkDir", "OS"})
"""Fields of scontrol whose value is one text, with blanks in it."""
_VALUED_BY_NAME = frozenset({"hostvalue", "queuevalue", "jobvalue", "resourcevalue"})


@dataclass(frozen=True, slots=True)
class Span:
    """Characters `start` to `end` are a value of `field`; `form` is where, `marks` how its characters may be escaped."""

    form: str
    field: str
    start: int
    end: int
    marks: str = ""
    bare: bool = False


def spans_of(text: str, columns: frozenset[str]) -> Iterator[Span]:
    """Every value of a report in order. `columns` are field names that may stand before a value with nothing but blanks between."""
    start = text[:400].lstrip()
    if start.startswith("<"):
        return _markup(text)
    if start.startswith("{"):
        return _attributes(text) if _PRETTY.match(start) else _objects(text)
    nonce = _NONCE.match(text)
    if nonce and text.partition("\n")[0].count("|") > 3:
        return _delimited(text, nonce.group(1))
    return _lines(text, columns)


def _delimited(text: str, nonce: str) -> Iterator[Span]:
    """What squeue and sacct print: the header names the columns, a line with the nonce begins a record, others continue its last value."""
    separator = f"|{nonce}|"
    header, _, _ = text.partition("\n")
    everywhere = header.count(separator) > 1
    between = separator if everywhere else "|"
    names = header.split(separator) if everywhere else [header.partition(separator)[0], *header.partition(separator)[2].split("|")]
    begins = [match.start() for match in re.finditer(rf"(?<=\n)[^\n|]*{re.escape(separator)}", text)]
    if text[len(header) + 1 : begins[0] if begins else len(text)].strip():
        yield Span("slurm", "", len(header) + 1, begins[0] if begins else len(text))
    for begin, end in zip(begins, [*begins, len(text)][1:], strict=True):
        place = begin
        for number, name in enumerate(names):
            last = number == len(names) - 1
            wanted = separator if number == 0 else between
            stop = end if last else text.find(wanted, place, end)
            if stop < 0:
                stop = end
            yield Span("slurm", name, place, stop - (last and text[stop - 1 : stop] == "\n"))
            place = stop + len(wanted)
            if stop == end:
                break


def _markup(text: str) -> Iterator[Span]:
    place = 0
    for match in _TAG.finditer(text):
        if not _MARKUP.match(text, place, match.start()):
            yield Span("markup", "", place, match.start(), "&")
        place = match.end()
        closing, tag, attributes, content = match.groups()
        named = ""
        for attribute in _ATTRIBUTE.finditer(attributes):
            group = 2 if attribute.group(2) is not None else 3
            if attribute.group(1) == "name" and tag in _VALUED_BY_NAME:
                named = attribute.group(group)
            elif attribute.group(1) in {"name", "qname"} and not named:
                field = "host" if tag == "host" else "qname" if tag.startswith("queue") else "jobid"
                begin = match.start(3) + attribute.start(group)
                yield Span("markup", field, begin, begin + len(attribute.group(group)), "&")
        if content.strip():
            field = "" if closing else named or tag
            instance = field == "name" and "@" in content  # Grid Engine: all.q@node01; TORQUE has names of nodes there
            yield Span("markup", "qinstance_name" if instance else field, match.start(4), match.end(4), "&")
    if not _MARKUP.match(text, place):
        yield Span("markup", "", place, len(text), "&")


def _attributes(text: str) -> Iterator[Span]:
    """JSON with one attribute on each line, as OpenPBS prints it: what a quote or backslash in a value does ends with its line."""
    stack: list[tuple[str, bool]] = []
    place = 0
    for line in text.split("\n"):
        attribute, string = _ATTRIBUTE_LINE.match(line), _STRING_LINE.match(line)
        if attribute:
            key, value = attribute.group(1), attribute.group(2)
            field = _key_field(stack) if stack else None
            if field is not None:
                yield Span("keys", field, place + attribute.start(1), place + attribute.end(1), "\\")
            if value in ("{", "["):
                stack.append((key, value == "["))
            elif value[:1] in ("{", "["):  # on one line, as newer cJSON prints lists
                for inner in _STRING.finditer(value):
                    start = place + attribute.start(2)
                    yield Span(_form_of(stack), key, start + inner.start(1), start + inner.end(1), "\\")
            elif value:
                yield _value_span(stack, key, value, place + attribute.start(2))
        elif string and stack:
            yield Span(_form_of(stack), stack[-1][0], place + string.start(1), place + string.end(1), "\\")
        elif _BRACKETS.match(line):
            for bracket in line:
                if bracket in "{[":
                    stack.append(("", bracket == "["))
                elif bracket in "}]" and stack:
                    stack.pop()
        else:
            yield Span("json", "", place, place + len(line), "\\")
        place += len(line) + 1


def _value_span(stack: list[tuple[str, bool]], key: str, value: str, start: int) -> Span:
    field = "" if any(name == "Variable_List" for name, _ in stack) else key
    if value.startswith('"'):
        inner = len(value) - 1 - (len(value) > 1 and value.endswith('"'))
        return Span(_form_of(stack), field, start + 1, start + 1 + inner, "\\")
    return Span(_form_of(stack), field, start, start + len(value), "\\", bare=True)


def _form_of(stack: list[tuple[str, bool]]) -> str:
    return stack[1][0].lower() if len(stack) > 1 else "json"


def _objects(text: str) -> Iterator[Span]:
    """JSON, also with values that are none: what stands behind a key is its value."""
    stack: list[tuple[str, bool]] = []
    key, after_colon, query = "", False, ""
    for match in _JSON.finditer(text):
        token = match.group()
        if token in "{[":
            stack.append((key if after_colon or not stack else stack[-1][0], token == "["))
            key, after_colon = "", False
        elif token in "}]":
            if stack:
                stack.pop()
            key, after_colon = "", False
        elif token == ",":
            key, after_colon = "", False
        elif token == ":":
            after_colon = True
        elif not after_colon and stack and not stack[-1][1] and token[0] == '"' and _COLON.match(text, match.end()):
            key = token[1:-1]
            field = _key_field(stack)
            if field is not None:
                yield Span("keys", field, match.start() + 1, match.end() - 1, "\\")
        else:
            holder = stack[-1][0] if stack else ""
            field = "" if any(name == "Variable_List" for name, _ in stack) else key or holder
            if key == "query" and len(stack) == 1:
                query = token.strip('"')  # JSON lines: the first says what the others are about
            form = query or _form_of(stack)
            quoted = token[0] == '"' and len(token) > 1
            yield Span(form, field, match.start() + quoted, match.end() - quoted, "\\", bare=not quoted)


def _key_field(stack: list[tuple[str, bool]]) -> str | None:
    """The field that the keys of the innermost object are values of: an object of jobs is keyed by their ids."""
    holder = stack[-1][0]
    kinds = {"Jobs": "job_id", "nodes": "host", "Queue": "queue", "Server": "host", "Variable_List": "", "Resv": ""}
    return kinds.get(holder) if len(stack) == 2 or holder == "Variable_List" else None


def _lines(text: str, columns: frozenset[str]) -> Iterator[Span]:
    place = 0
    while place < len(text):
        end = text.find("\n", place)
        end = len(text) if end < 0 else end
        pairs = list(_PAIR.finditer(text, place, end))
        setting, heading, column = (form.match(text, place, end) for form in (_SETTING, _HEADING, _COLUMN))
        accounted = _ACCOUNTED.match(text, place, end)
        if accounted:
            yield Span("accounting", "job_id", *accounted.span(1))
            facts = list(_PAIR_AFTER.finditer(text, accounted.end(), end))
            for fact, following in zip(facts, [*facts, None][1:], strict=True):
                stop = following.start(1) - 1 if following else end
                yield Span("accounting", fact.group(1).rpartition(".")[2], fact.end(), stop)
            if not facts:
                yield Span("message", "message", accounted.end(), end)
        elif pairs and pairs[0].start() <= place + 2 and (len(pairs) > 2 or _FIRST_KEY.match(text, place, end)):
            for pair, following in zip(pairs, [*pairs[1:], None], strict=True):
                stop = following.start() - 1 if following else end
                form, field = pairs[0].group(1).lower(), pair.group(1)
                blank = text.find(" ", pair.end(), stop) if form in _SCONTROL and field not in _SPOKEN else -1
                yield Span(form, field, pair.end(), stop if blank < 0 else blank)
                if blank >= 0:  # a name with a newline imitates fields, and the rest of what its owner wrote follows
                    yield Span(form, "", blank, stop)
        elif setting and " =" in text[place : setting.end()] + " ":
            while text.startswith("\n\t", end):  # qstat -f wraps long values
                after = text.find("\n", end + 1)
                end = len(text) if after < 0 else after
            yield Span("setting", setting.group(2), setting.end(), end)
        elif heading:
            yield Span("heading", {"Queue": "queue", "Job Id": "job_id"}.get(heading.group(1), "host"), heading.end(), end)
        elif _COMPLEX.match(text, place, end):
            pass  # qconf -sc: which resources there are
        elif column and column.group(1).lower() in columns:
            yield Span("column", column.group(1), column.end(), end)
        else:
            yield Span("message", "message", place, end)
        place = end + 1
