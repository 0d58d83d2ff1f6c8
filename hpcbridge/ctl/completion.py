# SPDX-FileCopyrightText: 2026 The hpcbridge authors
# SPDX-License-Identifier: Apache-2.0
"""`hpcbridgectl completion`: the shell's side of completion, as click makes it."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from hpcbridge.errors import ConfigError

COMPLETE_VARIABLE = "_HPCBRIDGECTL_COMPLETE"
_INSTALL = """\b
bash:  hpcbridgectl completion bash > /etc/bash_completion.d/hpcbridgectl
zsh:   hpcbridgectl completion zsh > "${fpath[1]}/_hpcbridgectl"
fish:  hpcbridgectl completion fish > ~/.config/fish/completions/hpcbridgectl.fish"""


@click.command(epilog=_INSTALL, short_help="Completion for bash, zsh or fish.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print what makes SHELL complete the commands of this program."""
    kind = get_completion_class(shell)
    if kind is None:
        raise ConfigError(f"no completion for {shell}")
    root = context.find_root()
    print(kind(root.command, {}, "hpcbridgectl", COMPLETE_VARIABLE).source())
