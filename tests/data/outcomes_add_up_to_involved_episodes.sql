-- Each involved episode has exactly one outcome and no other episode has any; resolved are the
-- confirmed and the assumed ones, pending those not mature.
select
    episode_id,
    outcome,
    is_involved,
    is_mature,
    is_resolved
from {{ rows_to_test(ref('fct_episodes')) }}
where
    is_involved <> (outcome is not null)
    or (is_involved and is_mature) <> (is_resolved is not null)
    or (is_involved and is_mature = (outcome = 'pending'))
    or is_resolved <> (outcome in ('confirmed', 'assumed'))
