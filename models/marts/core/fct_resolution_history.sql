{{ config(materialized='incremental', incremental_strategy='history') }}

-- Grain: verdict as it became known of an episode under a policy. Key: episode_id, policy,
-- verdict_number.
-- Left out: pending verdicts, and builds that found the verdict they knew. Never rebuilt: what was
-- published once stays on record, beside what late data or another policy made of it.
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

verdicts as (

    select
        resolutions.episode_id,
        resolutions.policy,
        resolutions.verdict,
        resolutions.decided_at,
        policies.definition
    from {{ fresh_rows('fct_resolutions') }} as resolutions
    inner join policies on resolutions.policy = policies.policy
    where resolutions.verdict <> 'pending'

),

{% if knows_history() -%}
numbered as (

    select
        episode_id,
        policy,
        verdict,
        definition,
        verdict_number,
        max(verdict_number) over (partition by episode_id, policy) as last_number
    from {{ this }}
    where episode_id in (select verdicts.episode_id from verdicts)

),

known as (

    select * from numbered
    where verdict_number = last_number

)
{%- else -%}
known as (

    select
        episode_id,
        policy,
        verdict,
        definition,
        cast(0 as integer) as verdict_number
    from verdicts
    where false

)
{%- endif %}

select
    verdicts.episode_id,
    verdicts.policy,
    cast(coalesce(known.verdict_number, 0) + 1 as integer) as verdict_number,
    verdicts.verdict,
    case
        when known.verdict is null then 'first'
        when known.definition <> verdicts.definition then 'policy changed'
        else 'late data'
    end as reason,
    verdicts.definition,
    cast({{ this_run().build_number if this_run() else 1 }} as integer) as build_number,
    verdicts.decided_at,
    {{ as_of() }} as known_at
from verdicts
left join known
    on
        verdicts.episode_id = known.episode_id
        and verdicts.policy = known.policy
where
    known.verdict is null
    or known.verdict <> verdicts.verdict
