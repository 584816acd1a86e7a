-- Grain: landed table. Key: table_name.
-- Left out: nothing. Every raw row is accepted, superseded by a later copy, or rejected.
-- Rows of a seed have the row id -1, rows of a platform that of its own table.
with raw_counts as (

    {% for entity in landed_entities() %}
    select
        '{{ entity }}' as table_name,
        (select count(*) from {{ source('raw', entity) }}) as raw_rows,
        (
            select count(*)
            from {{ ref('conformed_' ~ entity) }}
            where
                _row_id > 0
                {%- if entity in ['conversations', 'messages', 'events'] %}
                and _row_id not in (
                    select platform_rows._row_id
                    from {{ ref('stg_rasa__event_rows') }} as platform_rows
                )
                {%- endif %}
        ) as accepted
    union all
    {% endfor %}
    {%- for table in ['events', 'conversation_event'] %}
    select
        'rasa__{{ table }}' as table_name,
        (select count(*) from {{ source('rasa', table) }}) as raw_rows,
        (
            select count(*)
            from {{ ref('stg_rasa__event_rows') }}
            where
                raw_table = 'rasa__{{ table }}'
                and status = 'accepted'
        ) as accepted
    {% if not loop.last %}union all{% endif %}
    {%- endfor %}

),

set_aside as (

    select
        table_name,
        count(case when reason is null then 1 end) as superseded,
        count(reason) as rejected
    from {{ ref('int_set_aside') }}
    group by table_name

)

select
    raw_counts.table_name,
    raw_counts.raw_rows,
    raw_counts.accepted,
    coalesce(set_aside.superseded, 0) as superseded,
    coalesce(set_aside.rejected, 0) as rejected
from raw_counts
left join set_aside on raw_counts.table_name = set_aside.table_name
