{{ config(materialized='incremental', incremental_strategy='history') }}

-- Grain: verdict as it became known of an episode under a policy. Key: episode_id, policy,
-- verdict_number.
-- Left out: pending verdicts, and builds that found the verdict they knew. Never rebuilt: what was
-- published once stays on record, beside what late data or another policy made of it.
{%- set build_number = this_run().build_number if this_run() else 1 %}
with policies as (

    select
        policy,
        max_by(definition, build_number) as definition,
        count(*) > 1 and max(build_number) = {{ build_number }} as is_changed
    from {{ ref('int_policy_versions') }}
    group by policy

),

verdicts as (

    select
        resolutions.episode_id,
        resolutions.policy,
        resolutions.verdict,
        resolutions.decided_at,
        policies.definition,
        policies.is_changed
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
        when verdicts.is_changed then 'policy changed'
        else 'late data'
    end as reason,
    verdicts.definition,
    cast({{ build_number }} as integer) as build_number,
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
