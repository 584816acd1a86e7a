{{ config(materialized='ephemeral', meta={'in_batches': true}) }}

-- depends_on: {{ ref('int_changed_conversations') }}
-- Grain: public message. Key: message_key.
-- Left out: the text. What the message is, what a person or a model judged of it, and its cost.
with stale as (

    select
        message_key,
        max(case when is_stale then 1 else 0 end) = 1 as is_stale
    from {{ changed('int_citations') }}
    where is_stale is not null
    group by message_key

)

select
    messages._row_id as message_key,
    messages.conversation_key,
    messages.message_id,
    messages.kind,
    messages.intent,
    messages.sentiment,
    messages.intent_label is not null as is_labelled,
    coalesce(messages.intent = messages.intent_label, false) as is_label_met,
    messages.is_grounded,
    messages.cited_sources is not null as is_citing,
    coalesce(stale.is_stale, false) as is_stale,
    case
        when messages.sender_type = 'agent'
            then {{ keyed_hash(
                "coalesce(messages.sender_id, '') || '|' || " ~ local_day('messages.sent_at')
            ) }}
    end as agent_day,
    (
        coalesce(messages.input_tokens, 0) * prices.input_per_million
        + coalesce(messages.output_tokens, 0) * prices.output_per_million
    ) / 1e6 * rates.rate as llm_cost
from {{ changed('conformed_messages') }} as messages
left join stale on messages._row_id = stale.message_key
left join {{ ref('int_model_prices') }} as prices
    on
        messages.model = prices.model
        and {{ local_day('messages.sent_at') }} >= prices.valid_from
        and (prices.valid_until is null or {{ local_day('messages.sent_at') }} < prices.valid_until)
left join {{ ref('int_exchange_rates') }} as rates
    on {{ rate_in_force('rates', 'prices.currency', local_day('messages.sent_at')) }}
where messages.visibility = 'public'
