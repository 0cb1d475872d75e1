"""Uses of a split, the same in every run: SQL for tests of comparisons and for the pages that show them."""

from __future__ import annotations

from typing import Any

# Uses of the units 0 to `units` - 1 in the current epoch of the split. Unit n has bucket 9999 * n / (units - 1). The
# numbers that vary from use to use come from a hash of unit, use and salt. Of version B, `lost` of 100 uses are lost.
_USES = """
insert into promptctl.uses (id, name, version, epoch, bucket, model, input_tokens, output_tokens, response_ms,
                            first_token_ms, outcome, score)
select md5(s.epoch || '.' || u.unit || '.' || u.use || '.{salt}')::uuid, s.name,
       case when c.is_b then s.candidate_version else s.active_version end, coalesce({epoch}, s.epoch),
       case when {with_unit} then u.bucket end, '{model}', 1000, 150 + mod(u.noise, 50),
       case when {with_times} then (1000 + mod(u.noise, 500)) * case when c.is_b then {slower} else 1 end end,
       case when {with_times} then 300 + mod(u.noise, 90) end,
       case when mod(u.noise / 7, 1000) < case when c.is_b then {errors_b} else {errors_a} end
            then 'TimeoutError' else 'ok' end,
       case when mod(u.noise, 5) = 0
            then {score} * (mod(u.noise / 3, 3) - 2 + case when c.is_b then {more_score} else 0 end) end
from promptctl.served s
cross join lateral (
    select n / {uses_of_unit} as unit, mod(n, {uses_of_unit}) as use,
           (9999 * (n / {uses_of_unit}) / greatest({units} - 1, 1))::integer as bucket,
           ('x' || substr(md5(n || '.' || s.epoch || '.{salt}'), 1, 7))::bit(28)::integer as noise
    from generate_series(0, {units} * {uses_of_unit} - 1) n
) u
cross join lateral (select u.bucket < s.basis_points) c (is_b)
where s.name = '{name}' and not (c.is_b and mod(u.noise / 11, 100) < {lost})
"""
_DEFAULTS: dict[str, Any] = {
    "units": 1000, "uses_of_unit": 4, "slower": 1.0, "errors_a": 20, "errors_b": 20, "score": 1.0, "more_score": 0.0,
    "model": "claude-sonnet-4-5", "with_unit": True, "with_times": True, "epoch": "null", "lost": 0, "salt": "",
}  # fmt: skip
# Splits began more than two days ago, in the order of their epochs.
TWO_DAYS_AGO = """
set session_replication_role = replica;
update promptctl.allocations set changed_at = now() - interval '55 hours' + epoch * interval '1 second';
reset session_replication_role;
"""


def uses_sql(name: str, **settings: Any) -> str:
    """Return the statement that records uses of the split of a prompt. `settings` replace the defaults above."""
    assert settings.keys() <= _DEFAULTS.keys()
    return _USES.format(name=name, **(_DEFAULTS | settings))
