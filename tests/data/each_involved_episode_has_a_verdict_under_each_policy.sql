-- Each involved episode has a verdict under each policy, no other episode has any, and the house's
-- agrees with the episode.
with involved as (

    select * from {{ rows_to_test(ref('fct_episodes')) }}
    where is_involved

),

expected as (

    select
        involved.episode_id,
        policies.policy,
        case
            when policies.policy <> 'house' then null
            when not involved.is_mature then 'pending'
            when involved.is_resolved then 'resolved'
            else 'not_resolved'
        end as verdict
    from involved
    cross join {{ ref('conformed_resolution_policies') }} as policies

)

select
    coalesce(expected.episode_id, resolutions.episode_id) as episode_id,
    coalesce(expected.policy, resolutions.policy) as policy,
    expected.verdict as expected_verdict,
    resolutions.verdict
from expected
full outer join {{ rows_to_test(ref('fct_resolutions')) }} as resolutions
    on
        expected.episode_id = resolutions.episode_id
        and expected.policy = resolutions.policy
where
    expected.episode_id is null
    or resolutions.episode_id is null
    or expected.verdict <> resolutions.verdict
