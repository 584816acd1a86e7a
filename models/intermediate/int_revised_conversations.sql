-- depends_on: {{ ref('int_changed_conversations') }}
-- depends_on: {{ ref('int_changed_persons') }}
-- depends_on: {{ ref('int_conversations') }}
-- depends_on: {{ ref('int_decisions') }}
-- depends_on: {{ ref('int_sessions') }}
-- depends_on: {{ ref('int_surges') }}

-- Grain: conversation whose outcome or look-ahead may have changed since the last run: changed
-- itself, of a changed person, or past a window. Key: conversation_key.
-- Left out: all others; in a full run everything is built and nothing stands here.
{{ config(post_hook="{{ keep_touched() }}") }}
{% if run_mode() == 'full' -%}
select conversation_key
from {{ ref('int_episodes') }}
where false
{%- else -%}
with ripe as (

    select conversation_key from {{ ref('int_decisions') }}
    where {{ has_passed('decided_at') }}
    union all
    select conversation_key from {{ ref('int_episodes') }}
    where
        {{ has_passed('ended_at', var('fcr_window_days') ~ ' days') }}
        or {{ has_passed('started_at', var('conversion_window_days') ~ ' days') }}
    union all
    select conversation_key from {{ ref('int_sessions') }}
    where {{ has_passed('window_ends_at') }}

),

turned_hours as (

    select distinct local_hour
    from {{ differing_rows('int_surges', ['local_hour', 'grain', 'is_surge']) }}

),

surged as (

    select episodes.conversation_key
    from {{ ref('int_episodes') }} as episodes
    inner join turned_hours on {{ local_hour('episodes.started_at') }} = turned_hours.local_hour

)

select conversation_key from {{ ref('int_changed_conversations') }}
union
select conversations.conversation_key
from {{ ref('int_conversations') }} as conversations
inner join {{ ref('int_changed_persons') }} as persons
    on conversations.person_key = persons.person_key
union
select conversation_key from ripe
union
select conversation_key from surged
{%- endif %}
