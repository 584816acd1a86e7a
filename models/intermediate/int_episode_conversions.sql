{{ config(
    materialized='incremental',
    incremental_strategy='revised',
    unique_key='conversation_key',
) }}

-- depends_on: {{ ref('int_revised_conversations') }}
-- Grain: episode followed by a sale. Key: episode_key.
-- Left out: episodes without a won deal of the person created within the conversion window of their
-- start.
select distinct
    episodes.episode_key,
    episodes.conversation_key
from {{ ref('int_episodes') }} as episodes
inner join {{ ref('int_deals') }} as deals
    on
        episodes.person_key = deals.person_key
        and deals.is_won
        and episodes.started_at <= deals.created_at
        and deals.created_at
        <= episodes.started_at + interval '{{ var("conversion_window_days") }}' day
where {{ is_revised('episodes.conversation_key') }}
