{#- A select of the landed rows of one entity that its conformed model left out: table_name, file,
    row_number, reason (null for an older copy) and raw, the row as JSON with personal values masked. -#}
{% macro set_aside(entity, parent=none) -%}
    {%- set landed = source('raw', entity) -%}
    {%- set conformed = ref('conformed_' ~ entity) -%}
    {%- if not execute %}{{ return('select 1 as parsed') }}{% endif -%}
    {%- set node = graph.nodes['model.parley.conformed_' ~ entity] -%}
    {%- set columns = contract_columns(node) -%}
select
    landed._row_id,
    '{{ entity }}' as table_name,
    {{ mask_file_name('landed._file') }} as file,
    landed._row_number as row_number,
    {%- if parent is not none %}
    coalesce(
        landed._reason,
        case
            when conversations.conversation_key is null then 'orphan: conversation_id is unknown'
        end
    ) as reason,
    {%- else %}
    landed._reason as reason,
    {%- endif %}
    landed.raw
from (
    select
        {{ 'conversation_id,' if parent is not none }}
        _row_id,
        _file,
        _row_number,
        {{ rejection_reason(columns) }} as _reason,
        {{ mask_row(columns) }} as raw
    from (
        {{ typed_rows('(' ~ left_out_rows(judged_rows(landed, entity), conformed) ~ ')', columns) }}
    ) as left_out
) as landed
{%- if parent is not none %}
left join {{ parent }} as conversations
    on {{ text_key(opaque_id('landed.conversation_id')) }} = conversations.conversation_key
{%- endif %}
{%- endmacro %}


{#- The rows of a raw relation that are not in its conformed one. Which they are is found by their numbers
    alone: where memory is short a join spills all it carries, and a row is mostly text. -#}
{% macro left_out_rows(landed, conformed) -%}
select landed.*
from {{ landed }} as landed
where
    landed._row_id in (
        select judged._row_id
        from {{ landed }} as judged
        left join {{ conformed }} as accepted
            on judged._row_id = accepted._row_id
        where accepted._row_id is null
    )
{%- endmacro %}


{#- The rows of a raw relation that this run has judged: all of them in a full run; those that landed,
    those that were orphans and those that were replaced otherwise. -#}
{% macro judged_rows(landed, entity) -%}
    {%- if run_mode() == 'full' or entity not in arriving_entities() -%}
        {{ return(landed) }}
    {%- endif -%}
(
    {{ arrived_rows(landed, entity) }}
    union all
    select older.*
    from {{ landed }} as older
    where older._row_id in (select _row_id from touched.conformed_{{ entity }}__before)
)
{%- endmacro %}
