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
    author: str | None = None,
    reason: str | None = None,
    allow_secrets: bool = False,
) -> None:
    """Serve a candidate version to a share of the units.

    NAME@VERSION with SHARE starts a split with that version as the candidate. NAME
    with SHARE changes the share, NAME alone shows the split, and NAME --off ends
    it. An activation or a rollback ends it too.

    A unit, for example a user id, always gets the same version. As the share
    grows, units that get the candidate keep it. A hash of the seed and the unit
    decides: splits with the same seed choose the same units.

    Examples:
      promptctl split default-system-prompt@3 10% --reason "does it help?"
      promptctl split default-system-prompt 50%
      promptctl split default-system-prompt --off
    """
    wanted = references.parse(reference)
    _check(wanted, share, off, seed)
    if share is None and not off:
        with run.database() as database:
            found = splits.running(database, wanted.name)
        output.show_split(found, database.label, run.form)
        return
    points = 0 if share is None else _basis_points(share, wanted)
    run.refuse_secrets("--reason", reason, allowed=allow_secrets)
    run.author(author)
    with run.database() as database:
        if off:
            changed = splits.end(database, wanted.name, author=run.who(), reason=reason)
        else:
            changed = splits.change(
                database,
                wanted.name,
                points,
                candidate=wanted.version,
                seed=seed,
                author=run.who(),
                reason=reason,
                allow_new_variables=allow_new_variables,
            )
    output.show_change(changed, database.label, run.form)
    if changed.changed:
        run.log(
            "Split ended" if off else "Split changed",
            name=changed.name,
            version=changed.candidate_version or changed.version,
            basisPoints=changed.basis_points,
            author=run.who(),
        )


def _check(wanted: Reference, share: str | None, off: bool, seed: str | None) -> None:
    """Raise Usage for words that do not go together."""
    if off and share is not None:
        raise errors.Usage("usage", "a share and --off are two changes", hint=f"promptctl split {wanted.name} --off")
    if off and wanted.version is not None:
        raise errors.Usage(
            "usage", "--off ends the split, whichever its candidate", hint=f"promptctl split {wanted.name} --off"
        )
    if share is None and not off and wanted.version is not None:
        raise errors.Usage("share_missing", f"{wanted} needs a share", hint=f"promptctl split {wanted} 10%")
    if seed is not None and share is None:
        raise errors.Usage("usage", "--seed is given with a share", hint=f"promptctl split {wanted.name}@VERSION 10%")
    if seed is not None and not seed:
        raise errors.Usage("usage", "--seed is empty")


def _basis_points(share: str, wanted: Reference) -> int:
    try:
        return shares.basis_points(share)
    except ValueError:
        meant = _meant(share)
        if (fraction := _fraction(share)) is not None:
            raise errors.Usage(
                "invalid_share",
                f"{references.quoted(share)} has no %: it is either {fraction} or, as a fraction, {_times_100(share)}",
                hint=f"promptctl split {wanted} {_times_100(share)}",
            ) from None
        raise errors.Usage(
            "invalid_share",
            f"{references.quoted(share)} is no share: {_FORMS}",
            hint=f"promptctl split {wanted} {meant}" if meant else None,
        ) from None


def _fraction(share: str) -> str | None:
    """The share that a number below 1 without a % sign would write, `0.1` being 0.1%; None: it is no such number."""
    number = share.replace(",", ".").removeprefix("+")
    try:
        return _meant(share) if "%" not in share and 0 < float(number) < 1 else None
    except ValueError:
        return None


def _times_100(share: str) -> str:
    return shares.percent(round(float(share.replace(",", ".")) * shares.ALL))


def _meant(share: str) -> str | None:
    """The share that was probably meant by `10`, `10 %`, `.5%`, `12,5%`; None: none."""
    number = share.replace(",", ".").replace("%", "").strip().removeprefix("+")
    for guess in (f"{number}%", f"0{number}%") if number else ():
        try:
            return shares.percent(shares.basis_points(guess))
        except ValueError:
            continue
    return None
