"""promptctl split."""

from __future__ import annotations

from promptctl import errors
from promptctl.output import split_view as output
from promptctl.rules import references, shares
from promptctl.store import splits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from promptctl.cli.run import Run
    from promptctl.rules.references import Reference

_FORMS = "write 10%, 0.5% or 12.25%, from 0% to 100%"


def split(
    run: Run,
    reference: str,
    share: str | None = None,
    off: bool = False,
    seed: str | None = None,
    allow_new_variables: bool = False,
) -> None:
    """Serve a candidate version to a share of the units.

    NAME@VERSION with SHARE starts a split with that version as the candidate. NAME
    with SHARE changes the share, NAME alone shows the split, and NAME --off ends
    it. An activation or a rollback ends it too.

    A unit is, for example, a user id. It gets the same version as long as the
    share stays the same. When the share grows, units that have the candidate keep
    it. A hash of the seed and the unit decides: splits with the same seed choose
    the same units.

    Examples:
      promptctl split default-system-prompt@3 10% --reason "does it help?"
      promptctl split default-system-prompt 50%
      promptctl split default-system-prompt --off
    """
    target = references.parse(reference)
    _check(target, share, off, seed)
    if share is None and not off:
        with run.database() as database:
            current = splits.read_split(database, target.name)
        output.show_split(current, database.label, run.form)
        return
    points = 0 if share is None else _basis_points(share, target)
    with run.database_to_change() as database:
        if off:
            changed = splits.end_split(database, target.name, author=run.author(), reason=run.reason)
        else:
            changed = splits.set_split(
                database,
                target.name,
                points,
                candidate=target.version,
                seed=seed,
                author=run.author(),
                reason=run.reason,
                allow_new_variables=allow_new_variables,
            )
    output.show_change(changed, database.label, run.form)
    if changed.changed:
        run.log(
            "Split ended" if off else "Split changed",
            name=changed.name,
            version=changed.candidate_version or changed.version,
            basisPoints=changed.basis_points,
            author=run.author(),
        )


def _check(target: Reference, share: str | None, off: bool, seed: str | None) -> None:
    """Raise Usage for options that cannot be combined."""
    if off and share is not None:
        raise errors.Usage("usage", "use only one of SHARE and --off", hint=f"promptctl split {target.name} --off")
    if off and target.version is not None:
        raise errors.Usage(
            "usage",
            "--off ends the split of any candidate: use the name without @VERSION",
            hint=f"promptctl split {target.name} --off",
        )
    if share is None and not off and target.version is not None:
        raise errors.Usage("share_missing", f"{target} needs a share", hint=f"promptctl split {target} 10%")
    if seed is not None and share is None:
        raise errors.Usage("usage", "--seed needs a share", hint=f"promptctl split {target.name}@VERSION 10%")
    if seed is not None and not seed:
        raise errors.Usage("usage", "--seed is empty")


def _basis_points(share: str, target: Reference) -> int:
    """Return the basis points of a share. Raises Usage with the share that was probably meant."""
    try:
        return shares.basis_points(share)
    except ValueError:
        corrected = _corrected(share)
        if (fraction := _fraction(share)) is not None:
            raise errors.Usage(
                "invalid_share",
                f"{references.quoted(share)} has no %: it is either {fraction} or, as a fraction, {_times_100(share)}",
                hint=f"promptctl split {target} {_times_100(share)}",
            ) from None
        raise errors.Usage(
            "invalid_share",
            f"{references.quoted(share)} is not a share: {_FORMS}",
            hint=f"promptctl split {target} {corrected}" if corrected else None,
        ) from None


def _fraction(share: str) -> str | None:
    """Return the share that a number below 1 without a % sign may mean, 0.1% for `0.1`. None for any other text."""
    number = share.replace(",", ".").removeprefix("+")
    try:
        return _corrected(share) if "%" not in share and 0 < float(number) < 1 else None
    except ValueError:
        return None


def _times_100(share: str) -> str:
    """Return the other share that such a number may mean, 10% for `0.1`."""
    return shares.percent(round(float(share.replace(",", ".")) * shares.ALL))


def _corrected(share: str) -> str | None:
    """Return the share that `10`, `10 %`, `.5%` or `12,5%` probably means, None for any other text."""
    number = share.replace(",", ".").replace("%", "").strip().removeprefix("+")
    for guess in (f"{number}%", f"0{number}%") if number else ():
        try:
            return shares.percent(shares.basis_points(guess))
        except ValueError:
            continue
    return None
