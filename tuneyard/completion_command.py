"""`tuneyard completion`: what a shell reads to complete our commands."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from tuneyard.options import example


@click.command(epilog=example("completion bash > ~/.local/share/bash-completion/completions/tuneyard"))
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script that lets a shell complete tuneyard's commands and options.

    \b
    bash  tuneyard completion bash > ~/.local/share/bash-completion/completions/tuneyard
    zsh   tuneyard completion zsh > ~/.zfunc/_tuneyard      (with ~/.zfunc in fpath)
    fish  tuneyard completion fish > ~/.config/fish/completions/tuneyard.fish
    """
    whole = click.get_current_context().find_root().command
    made = get_completion_class(shell)
    assert made is not None
    click.echo(made(whole, {}, "tuneyard", "_TUNEYARD_COMPLETE").source())
