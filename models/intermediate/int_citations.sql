{{ config(
    materialized='incremental',
    incremental_strategy='changed',
    unique_key='conversation_key',
) }}

-- depends_on: {{ ref('int_changed_conversations') }}
-- Grain: message and knowledge article it cites. Key: message_key, article_id.
-- Left out: nothing. Of an article the catalogue does not know is_stale is null, until it lands.
with listed as (

    {{ split_rows(
        changed('conformed_messages'),
        ['_row_id', 'conversation_key', 'sent_at'],
        'cited_sources',
        'article_id',
    ) }}

),

cited as (

    select
        _row_id,
        conversation_key,
        sent_at,
        {{ opaque_id('article_id') }} as article_id
    from listed

)

select
    cited._row_id as message_key,
    cited.conversation_key,
    cited.article_id,
    articles.updated_at + interval '{{ var("stale_after_days") }}' day < cited.sent_at as is_stale
from cited
left join {{ ref('conformed_knowledge_articles') }} as articles
    on cited.article_id = articles.article_id
