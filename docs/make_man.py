# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: INP001 -- a script, not a package
"""Writes the manual pages docs/man/*.[58] and the tables of keys in docs/sysadmin-guide.md. `--check` compares instead.

What a command, an option or a key of a configuration is comes from the programs themselves: click's commands, argparse's parsers, and
the dataclasses of hpcbridge/config. What only a page tells stands in docs/man/<page>.md, in the little of Markdown that `_Page` reads;
a line `{{name}}` there is replaced by the generated part of that name.
"""

from __future__ import annotations

import argparse
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import hpcbridge
from hpcbridge.accounts.main import parser as accounts_parser
from hpcbridge.agent.main import parser as agent_parser
from hpcbridge.config import AgentConfig, LedgerConfig
from hpcbridge.config.described import Key, Section, sections_of
from hpcbridge.ctl.main import EXIT_STATUSES, GROUPS, cli
from hpcbridge.service.main import cli as ledger_cli

ROOT = Path(__file__).resolve().parent.parent
PAGES = ROOT / "docs" / "man"
GUIDE = ROOT / "docs" / "sysadmin-guide.md"
EDITED = "2026-11-22"
"""Date in the foot of every page: of the last change to what pages say. A page must not differ from one day to the next."""
_OFTEN = ("--output", "--watch", "--interval", "--help")
"""Options of many commands, told once."""
_SIGNS: Mapping[str, str] = {
    "\\": "\\e", "-": "\\-", "–": "\\(en", "→": "\\(->", "…": "...", "×": "\\(mu", "°": "\\(de",
    "'": "\\(aq", "’": "\\(cq", "^": "\\(ha", "~": "\\(ti", "`": "\\(ga",
}  # fmt: skip


def main() -> int:
    """Writes what differs; with --check says what would, and fails."""
    check = sys.argv[1:] == ["--check"]
    stale = [path for path, text in texts().items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        if check:
            sys.stderr.write(f"{path.relative_to(ROOT)} is not of today; run: make docs\n")
        else:
            path.write_text(texts()[path], encoding="utf-8")
    return 1 if check and stale else 0


def texts() -> dict[Path, str]:
    """Every generated file with what it should hold."""
    pages = {source.with_suffix(""): _page(source) for source in sorted(PAGES.glob("*.md"))}
    return {**pages, GUIDE: _guide(GUIDE.read_text(encoding="utf-8"))}


def _page(source: Path) -> str:
    name, _, section = source.with_suffix("").name.rpartition(".")
    head = f'.\\" Made by docs/make_man.py from {source.name} and the program. SPDX-License-Identifier: Apache-2.0\n'
    title = f'.TH {name.upper()} {section} "{EDITED}" "hpcbridge {hpcbridge.__version__}" "hpcbridge"\n.nh\n.ad l\n'
    return head + title + "".join(f"{line}\n" for line in _wrapped(_Page(source.read_text(encoding="utf-8")).lines()))


class _Page:
    """Reads headings (`#`, `##`), paragraphs, code (four blanks), items (`term` on a line, `: what it is` on the next), {{parts}}."""

    def __init__(self, text: str) -> None:
        self._blocks = re.split(r"\n{2,}", text.split("-->", 1)[1].strip("\n"))

    def lines(self) -> Iterator[str]:
        """The page in roff."""
        after_heading = False
        for block in self._blocks:
            if block.startswith("{{"):
                yield from PARTS[block.strip("{}")]()
            elif block.startswith("#"):
                marks, _, words = block.partition(" ")
                yield f".{'SH' if marks == '#' else 'SS'} {_escaped(words)}"
            elif block.startswith("    "):
                yield from _code([line[4:] for line in block.splitlines()])
            elif "\n: " in block:
                term, _, about = block.partition("\n: ")
                yield from _item(_inline(term), [_inline(" ".join(about.split()))])
            else:
                if not after_heading:
                    yield ".PP"
                yield _inline(" ".join(block.split()))
            after_heading = block.startswith("#")


def _commands() -> Iterator[str]:
    for title, commands in GROUPS.items():
        yield f".SS {_escaped(title)}"
        for command in commands:
            yield from _command(command, f"hpcbridgectl {command.name}", cli)


def _command(command: click.Command, path: str, above: click.Group) -> Iterator[str]:
    context = click.Context(command, info_name=path, parent=None)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            yield from _command(command.commands[name], f"{path} {name}", command)
        return
    usage = " ".join(_escaped(piece) for piece in command.collect_usage_pieces(context) if piece != "[OPTIONS]")
    told = [(names, about) for names, about in _options(command, context) if not any(often in names for often in _OFTEN)]
    watched = any("--watch" in option.opts for option in command.params)
    also = " [\\fB\\-\\-watch\\fR]" if watched else ""
    options = " [\\fIoptions\\fR]" if told else ""
    yield ".TP"
    yield f"\\fB{_escaped(path)}\\fR{options}{also} {usage}".rstrip()
    yield from _prose(command.help or above.help or "")
    if told:
        yield ".RS"
        for names, about in told:
            yield from _item(f"\\fB{_escaped(names)}\\fR", [_escaped(about)])
        yield ".RE"
    if command.epilog:
        yield ".IP"
        yield from _prose(command.epilog)


def _ledger_commands() -> Iterator[str]:
    for name in ledger_cli.commands:
        yield from _command(ledger_cli.commands[name], f"hpcbridge-ledgerd {name}", ledger_cli)


def _options(command: click.Command, context: click.Context) -> Iterator[tuple[str, str]]:
    """Names and help of the options of its own."""
    for each in command.params:
        record = each.get_help_record(context) if isinstance(each, click.Option) else None
        if record is not None:
            yield record


def _common_options() -> Iterator[str]:
    """Of the program itself, then those of many commands, taken from one that has them all."""
    yield from _click_options(cli)
    example = cli.commands["status"]
    for names, about in _options(example, click.Context(example)):
        if "--watch" in names or "--interval" in names:
            yield from _item(f"\\fB{_escaped(names)}\\fR", [_escaped(f"{about} With commands that show a state.")])


def _click_options(group: click.Command) -> Iterator[str]:
    for names, about in _options(group, click.Context(group)):
        yield from _item(f"\\fB{_escaped(names)}\\fR", [_escaped(about)])


def _argparse_options(parser: argparse.ArgumentParser) -> Iterator[str]:
    formatter = parser.formatter_class(prog=parser.prog)
    for action in parser._actions:  # noqa: SLF001 - argparse has no other list of them
        names = ", ".join(action.option_strings)
        value = f" {action.metavar or action.dest.upper()}" if action.nargs != 0 else ""
        yield from _item(f"\\fB{_escaped(names)}\\fR{_escaped(value)}", [_escaped(formatter._expand_help(action))])  # noqa: SLF001 - as above


def _exit_statuses() -> Iterator[str]:
    for status, (word, about) in EXIT_STATUSES.items():
        yield from _item(f"\\fB{status}\\fR", [_escaped(f"{word}: {about}")])


def _keys(config: type[Any]) -> Iterator[str]:
    for section in sections_of(config):
        yield f".SS {_escaped(section.heading or 'Above all sections')}"
        if section.heading:
            yield from _prose(section.about, between=".PP")
        for key in section.keys:
            yield from _item(f"\\fB{_escaped(key.name)}\\fR = \\fI{_escaped(key.kind)}\\fR", [_escaped(_sentence(key))])


def _sentence(key: Key) -> str:
    default = "Must be given." if key.required else f"Default: {key.default}." if key.default else ""
    return f"{key.about[:1].upper()}{key.about[1:]}{'' if key.about.endswith('?') else '.'} {default}".rstrip()


PARTS: Mapping[str, Callable[[], Iterator[str]]] = {
    "commands": _commands,
    "options": _common_options,
    "exit statuses": _exit_statuses,
    "ledger options": lambda: _click_options(ledger_cli),
    "ledger commands": _ledger_commands,
    "agent options": lambda: _argparse_options(agent_parser()),
    "accounts options": lambda: _argparse_options(accounts_parser()),
    "agent keys": lambda: _keys(AgentConfig),
    "ledger keys": lambda: _keys(LedgerConfig),
}


def _item(term: str, about: Sequence[str]) -> Iterator[str]:
    yield ".TP"
    yield term
    yield from about


def _code(lines: Sequence[str]) -> Iterator[str]:
    yield from (".PP", ".RS 4", ".nf")
    yield from (_escaped(line) for line in lines)
    yield from (".fi", ".RE")


def _prose(text: str, *, between: str = ".IP") -> Iterator[str]:
    """Paragraphs of a help text; one that begins with click's mark stays in its lines."""
    for number, paragraph in enumerate(re.split(r"\n{2,}", inspect.cleandoc(text))):
        if number:
            yield between
        if paragraph.startswith("\b"):
            yield from (".nf", *(_escaped(line) for line in paragraph.splitlines()[1:]), ".fi")
        else:
            yield _escaped(" ".join(paragraph.split()))


def _wrapped(lines: Iterator[str]) -> Iterator[str]:
    """Text in lines that fit a screen; requests, and what stands as it is, stay in theirs."""
    filled, term = True, False
    for line in lines:
        if line.startswith(".") or term or not filled:
            yield line
        else:
            for piece in textwrap.wrap(line, 78, break_long_words=False, break_on_hyphens=False):
                yield f"\\&{piece}" if piece.startswith((".", "'")) else piece
        term = line == ".TP"
        filled = line == ".fi" or (filled and line != ".nf")


def _inline(text: str) -> str:
    """`code` and **bold** in bold, *words* in italic."""
    escaped = re.sub(r"`([^`]+)`", lambda found: f"**{found[1]}**", text)
    return re.sub(r"(?<!\w)\*([^*]+)\*", r"\\fI\1\\fR", re.sub(r"\*\*(.+?)\*\*", r"\\fB\1\\fR", _escaped(escaped)))


def _escaped(text: str) -> str:
    line = "".join(_SIGNS.get(sign, sign if sign.isascii() else f"\\[u{ord(sign):04X}]") for sign in text)
    return f"\\&{line}" if line.startswith((".", "\\(aq")) else line


def _guide(text: str) -> str:
    for name, config in (("hpcbridged.toml", AgentConfig), ("ledgerd.toml", LedgerConfig)):
        begin, end = f"<!-- keys of {name}: made by make docs -->\n", f"<!-- end of keys of {name} -->\n"
        before, found, rest = text.partition(begin)
        _, found_end, after = rest.partition(end)
        if not (found and found_end):
            sys.exit(f"{GUIDE.name}: between which lines do the keys of {name} belong? Missing: {begin}{end}")
        text = before + begin + "".join(f"{line}\n" for line in _table(sections_of(config))) + end + after
    return text


def _table(sections: Sequence[Section]) -> Iterator[str]:
    yield from ("| section, key | default | meaning |", "|---|---|---|")
    for section in sections:
        for key in section.keys:
            place = f"`{section.heading} {key.name}`" if section.heading else f"`{key.name}`"
            default = "must be given" if key.required else f"`{key.default}`" if key.default else ""
            yield f"| {place} | {default} | {key.about} |".replace("|  |", "| |")


if __name__ == "__main__":
    sys.exit(main())
