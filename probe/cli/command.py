"""What every command does besides its own work: where the network stands, spellings, errors.

A network may be written first, or after ``--model``/``-m``, whichever the command's signature has.
Where positional arguments are pictures (``saliency``, ``dream``, ``style``), a name before them
could be a picture's: there, only ``--model`` names the network.

An error that begins with an option and its value, ``splits 1: expected …``, names the flag that was
typed, ``--folds 1: expected …``.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import Any

from typer.core import TyperArgument, TyperCommand, TyperOption

from probe.errors import ProbeError, nearest
from probe.models.settings import BASELINES

OTHER_SPELLINGS = {
    "--accept-license": "--accept-licence",
    "--color": "--colour",
    "--colors": "--colours",
    "--parameterization": "--parameterisation",
}
"""Flags that are understood, and not shown in help texts, by the spelling that is."""

OLD_FLAGS = {"--baselines": "default", "--no-baselines": "none"}
"""Flags that stood alone before ``--baselines`` took a word, and the word that each stands for."""

_ELSEWHERE = "_network"
_TYPED = "probe.typed"


class Command(TyperCommand):
    """A command whose network is its first argument or ``--model``, and of any spelling."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        arguments = [p for p in self.params if isinstance(p, TyperArgument)]
        self._network = next((p for p in self.params if p.name == "model"), None)
        self._also = self._other_way(arguments)
        if isinstance(self._also, TyperArgument):
            self.params.insert(0, self._also)
        elif self._also is not None:
            self.params.append(self._also)

    def _other_way(self, arguments: list[TyperArgument]) -> TyperArgument | TyperOption | None:
        """Return the parameter that names the network as the signature does not."""
        network: Any = self._network
        if network is None or (arguments and network not in arguments):
            return None
        same: dict[str, Any] = {
            "type_descriptor": network.type_descriptor,
            "expose_value": False,
            "autocompletion": lambda ctx, _, incomplete: [
                item.value for item in network.shell_complete(ctx, incomplete)
            ],
        }
        if network in arguments:
            return TyperOption(
                param_decls=[_ELSEWHERE, "--model", "-m"],
                help="The network, if it is not the first argument.",
                **same,
            )
        return TyperArgument(
            param_decls=[_ELSEWHERE], metavar="MODEL", help="The same as --model.", **same
        )

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse arguments, with the network where this command has it."""
        args = self._in_our_spelling(args)
        ctx.meta[_TYPED] = [word.partition("=")[0] for word in args]
        if self._also is None or ctx.resilient_parsing:
            return super().parse_args(ctx, args)
        values, extra, _ = self.make_parser(ctx).parse_args(args=list(args))
        network = values.get(_ELSEWHERE)
        if isinstance(network, str):
            if isinstance(self._also, TyperArgument):
                if isinstance(twice := values.get("model"), str):
                    raise ProbeError(_twice(network, twice))
                args = ["--model", network, *args]
            else:
                last = [p for p in self.params if isinstance(p, TyperArgument)][-1]
                if extra or (last.nargs == 1 and isinstance(values.get(str(last.name)), str)):
                    raise ProbeError(_twice(str(values["model"]), network))
                args = [network, *args]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; its errors name the flags that were typed."""
        try:
            if isinstance(self._network, TyperArgument):
                self._check_order(ctx.params)
            _check_names(ctx.params)
            return super().invoke(ctx)
        except ProbeError as error:
            error.args = (self._with_flag(str(error), ctx.params, ctx.meta.get(_TYPED, ())),)
            raise

    def _check_order(self, values: dict[str, Any]) -> None:
        """Refuse a class that stands where the network has to."""
        from probe.models.registry import class_names, names

        word = values.get("model")
        if "target" not in values or not isinstance(word, str) or word in names():
            return
        if word.casefold() in map(str.casefold, class_names()):
            raise ProbeError(
                f"{word} is a class; name a network before it, such as: probe {self.name} "
                f"squeezenet1_1 {shlex.quote(word)}"
            )

    def _with_flag(self, message: str, values: dict[str, Any], typed: Sequence[str]) -> str:
        """Return an error with the flag in place of the option that it begins with."""
        match = re.match(r"(\w+) (?:'([^']*)'|([-\d.]+))", message)
        if match is None:
            return message
        name, value = match[1], match[2] or match[3] or ""
        for param in self.params:
            flag = next((flag for flag in param.opts if flag in typed), None)
            if param.name == name and flag and value in str(values.get(name)):
                return message.replace(name, flag, 1)
        return message

    def _in_our_spelling(self, args: list[str]) -> list[str]:
        """Return the arguments with flags as this command writes them."""
        flags = {flag for param in self.params for flag in (*param.opts, *param.secondary_opts)}
        spelled: list[str] = []
        for k, word in enumerate(args):
            if word == "--":
                return [*spelled, *args[k:]]
            if "--baselines" in flags and word in OLD_FLAGS and not _has_word(word, args[k + 1 :]):
                spelled.append(f"--baselines={OLD_FLAGS[word]}")
                continue
            flag, equals, value = word.partition("=")
            ours = OTHER_SPELLINGS.get(flag)
            use = ours in flags and flag not in flags
            spelled.append(f"{ours}{equals}{value}" if use else word)
        return spelled


def _has_word(flag: str, following: Sequence[str]) -> bool:
    """Return whether ``--baselines`` is followed by its word, misspelled perhaps."""
    if flag != "--baselines" or not following:
        return False
    word = following[0]
    return word in BASELINES or (not word.startswith("-") and bool(nearest(word, BASELINES)))


def _check_names(values: dict[str, Any]) -> None:
    """Refuse networks, recordings and regions that there are not, before torch is imported."""
    from probe.models.registry import parse
    from probe.recordings.several import check_names, several

    for option in ("model", "judge", "together_with"):
        networks = values.get(option)
        # A recorded site in its network's place is a target, and knows its network.
        if isinstance(networks, str) and not networks.startswith("site:"):
            for name in several(networks) or [networks]:
                if option != "together_with" or name not in ("", "none"):
                    parse(name)
    dataset, region = values.get("dataset"), values.get("region")
    if isinstance(dataset, str):
        check_names(dataset, region)


def _twice(first: str, second: str) -> str:
    return f"model {first!r} and model {second!r}: expected one, as first argument or as --model"
