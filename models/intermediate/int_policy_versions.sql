{{ config(materialized='incremental', incremental_strategy='history') }}

-- Grain: definition of a policy, from the build on that found it. Key: policy, build_number.
-- Left out: builds that found the definition they knew. Never rebuilt, so that a verdict that
-- changes later is not put down to a policy that changed before.
with policies as (

    select
        policy,
        concat_ws(
            '|',
            cast(window_hours as string),
            anchor,
            answer_rule,
            cast(agent_reply_blocks as string),
            cast(request_blocks as string),
            cast(negative_feedback_blocks as string),
            cast(abandonment_blocks as string),
            cast(return_blocks_hours as string),
            '{{ var("episode_idle_hours") }}'
        ) as definition
    from {{ ref('conformed_resolution_policies') }}

),

{% if knows_history() -%}
known as (

    select
        policy,
        max_by(definition, build_number) as definition
    from {{ this }}
    group by policy

)
{%- else -%}
known as (

    select * from policies
    where false

)
{%- endif %}

select
    policies.policy,
    policies.definition,
    cast({{ this_run().build_number if this_run() else 1 }} as integer) as build_number
from policies
left join known on policies.policy = known.policy
where
    known.policy is null
    or known.definition <> policies.definition
