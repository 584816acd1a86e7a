{{ config(
    materialized='incremental',
    incremental_strategy='set_aside',
) }}

-- Grain: landed row left out of its conformed model. Key: table_name, file, row_number.
-- Left out: accepted rows. The reason is null for an older copy of a row accepted later.
{% set children = ['messages', 'events', 'feedback', 'answers', 'experiment_assignments'] -%}
with tracker_rows as (

    select
        _row_id,
        raw_table,
        reason
    from {{ ref('stg_rasa__event_rows') }}
    where status <> 'accepted'

),

tracker_landed as (

    select
        _row_id,
        _file,
        _row_number,
        sender_id,
        type_name,
        timestamp,
        data
    from {{ source('rasa', 'events') }}
    union all
    select
        _row_id,
        _file,
        _row_number,
        conversation_id as sender_id,
        type_name,
        timestamp,
        data
    from {{ source('rasa', 'conversation_event') }}

)

{% for entity in landed_entities() -%}
{{ set_aside(entity, parent=ref('conformed_conversations') if entity in children else none) }}
union all
{% endfor -%}
select
    tracker_rows._row_id,
    tracker_rows.raw_table as table_name,
    {{ mask_file_name('tracker_landed._file') }} as file,
    tracker_landed._row_number as row_number,
    tracker_rows.reason,
    {{ mask_row([
        {'name': 'sender_id', 'personal': true},
        {'name': 'type_name', 'personal': false},
        {'name': 'timestamp', 'personal': false},
        {'name': 'data', 'personal': true},
    ]) }} as raw
from tracker_rows
inner join tracker_landed on tracker_rows._row_id = tracker_landed._row_id
