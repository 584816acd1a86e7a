-- Grain: intent in the catalogue or predicted. Key: intent.
-- Left out: nothing; an intent outside the catalogue has topic unknown.
with predicted as (

    select distinct intent
    from {{ ref('fct_messages') }}
    where intent is not null

)

select
    coalesce(intents.intent, predicted.intent) as intent,
    coalesce(intents.topic, 'unknown') as topic,
    intents.tier,
    intents.is_repetitive,
    intents.needs_answer,
    intents.is_fallback,
    intents.baseline_handle_minutes,
    intents.intent is not null as is_catalogued
from {{ ref('conformed_intents') }} as intents
full outer join predicted on intents.intent = predicted.intent
