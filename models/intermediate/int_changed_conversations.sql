-- depends_on: {{ ref('conformed_messages') }}
-- depends_on: {{ ref('conformed_events') }}
-- depends_on: {{ ref('conformed_feedback') }}
-- depends_on: {{ ref('conformed_answers') }}
-- depends_on: {{ ref('conformed_knowledge_articles') }}
-- depends_on: {{ ref('int_contact_survivors') }}
-- depends_on: {{ ref('int_exchange_rates') }}
-- depends_on: {{ ref('int_deals') }}

-- Grain: conversation whose own facts may have changed since the last run. Key: conversation_key.
-- Left out: all others; in a full run everything is built and nothing stands here.
{{ config(post_hook="{{ keep_touched() }}") }}
{% if run_mode() == 'full' -%}
select conversation_key
from {{ ref('conformed_conversations') }}
where false
{%- else -%}
with arrived as (

    {% for entity in conversation_entities() -%}
    select conversation_key from touched.conformed_{{ entity }}__arrived
    union all
    select conversation_key from touched.conformed_{{ entity }}__before
    {% if not loop.last %}union all
    {% endif %}
    {%- endfor %}

),

-- facts that lay after the former as-of
now_known as (

    select conversation_key from {{ ref('conformed_messages') }}
    where {{ has_passed('sent_at') }}
    union all
    select conversation_key from {{ ref('conformed_events') }}
    where {{ has_passed('occurred_at') }}
    union all
    select conversation_key from {{ ref('conformed_feedback') }}
    where {{ has_passed('submitted_at') }}
    union all
    select conversation_key from {{ ref('conformed_answers') }}
    where
        {{ has_passed('asked_at') }}
        or {{ has_passed('answered_at') }}
    union all
    select conversation_key from {{ ref('conformed_conversations') }}
    where
        {{ has_passed('opened_at') }}
        or {{ has_passed('closed_at') }}

),

renamed_contacts as (

    select contact_id
    from {{ differing_rows('int_contact_survivors', ['contact_id', 'survivor_id']) }}

),

renamed as (

    select conversation_key from {{ ref('conformed_conversations') }}
    where contact_id in (select renamed_contacts.contact_id from renamed_contacts)

),

-- a question nobody answered in time
now_missed as (

    select conversation_key from intermediate.int_turns
    where
        replied_at is null
        and {{ has_passed('last_message_at', var('session_timeout_minutes') ~ ' minutes') }}

),

recommended as (

    select conversation_key from intermediate.int_recommendations
    where
        {{ has_passed('window_ends_at') }}
        or person_key in (
            select deals.person_key
            from {{ differing_rows('int_deals', deal_columns()) }} as deals
        )

),

cited as (

    select citations.conversation_key
    from intermediate.int_citations as citations
    inner join {{ differing_rows('conformed_knowledge_articles', ['article_id', 'updated_at']) }}
        as articles
        on citations.article_id = articles.article_id

),

changed_rates as (

    select cast(min(valid_from) as timestamp) - interval '1' day as changed_from
    from {{ differing_rows('int_exchange_rates', ['currency', 'valid_from', 'rate']) }}

),

priced as (

    select messages.conversation_key
    from {{ ref('conformed_messages') }} as messages
    inner join changed_rates on changed_rates.changed_from <= messages.sent_at
    where messages.model is not null

)

select conversation_key from arrived
union
select conversation_key from now_known
union
select conversation_key from renamed
union
select conversation_key from now_missed
union
select conversation_key from recommended
union
select conversation_key from cited
union
select conversation_key from priced
{%- endif %}
