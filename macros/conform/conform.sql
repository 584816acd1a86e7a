{#- The body of a conformed model: rows of one entity, typed, judged and with one row a key.

    `landed` is the raw relation of the neutral contract, all text; `adapters` are staging models of
    platforms that yield the same columns, typed, and `_row_id`; `seed` is a reference seed that
    counts only while nothing landed; `parent` is the model of conversations a row must name one of. Columns, types, required values, accepted values and defaults
    come from the model's own contract.

    A row that fails its judgement is left out here and stands in rejected_rows. Of the rows left with
    the same primary key the last one loaded wins. A table without a key counts the newest version of
    every file, and of rows alike in every column one. -#}
{% macro conform(landed, adapters=[], seed=none, parent=none) -%}
    {%- if not execute %}{{ return('select 1 as parsed') }}{% endif -%}
    {%- set columns = contract_columns(model) -%}
    {%- if config.get('incremental_strategy') == 'arrived' and run_mode() == 'touched' -%}
        {{ return(conform_arrived(landed, columns, parent)) }}
    {%- endif -%}
    {%- set key = contract_key(columns) -%}
    {%- set key_text = row_key_text(columns) -%}
    {%- set landed_rows = landed if key else '(' ~ newest_versions(landed) ~ ')' -%}

with keys as (

    select {{ text_key(key_text) }} as _row_key from {{ landed_rows }} as landed
    {%- for adapter_model in adapters %}
    union all
    select {{ text_key(key) }} as _row_key from {{ adapter_model }}
    {%- endfor %}

),

repeated_keys as (

    select _row_key
    from keys
    group by _row_key
    having count(*) > 1

),

repeated as (

    select
        {{ key_text }} as _row_text,
        _row_id,
        {{ rejection_reason(columns) }} as _reason
    from (
        {{ typed_rows(landed_rows, columns) }}
        where {{ text_key(key_text) }} in (select _row_key from repeated_keys)
    ) as landed
    {%- if parent is not none %}
    where
        {{ text_key(opaque_id('conversation_id')) }} in (
            select conversation_key from {{ parent }}
        )
    {%- endif %}
    {%- for adapter_model in adapters %}
    union all
    select
        {{ key }} as _row_text,
        _row_id,
        cast(null as string) as _reason
    from {{ adapter_model }}
    where {{ text_key(key) }} in (select _row_key from repeated_keys)
    {%- endfor %}

),

newest as (

    select
        _row_text,
        max(_row_id) as _row_id
    from repeated
    where _reason is null
    group by _row_text

),

judged as (

    select
        {%- for column in columns %}
        {{ typed_value(column) }} as {{ column.name }},
        {%- endfor %}
        {%- if '_landed_id' in model.columns %}
        {{ landed_id(key) }} as _landed_id,
        {%- endif %}
        {{ key_text }} as _row_text,
        _row_id,
        {{ rejection_reason(columns) }} as _reason
    from (
        {{ typed_rows(landed_rows, columns) }}
    ) as landed
    {%- for adapter_model in adapters %}
    union all
    select
        {%- for column in columns %}
        {{ publishable(column, column.name) }} as {{ column.name }},
        {%- endfor %}
        {%- if '_landed_id' in model.columns %}
        {{ landed_id(key) }} as _landed_id,
        {%- endif %}
        {{ key }} as _row_text,
        _row_id,
        cast(null as string) as _reason
    from {{ adapter_model }}
    {%- endfor %}
    {%- if seed is not none %}
    union all
    select
        {%- for column in columns %}
        cast({{ column.name }} as {{ column.data_type }}) as {{ column.name }},
        {%- endfor %}
        cast(null as string) as _row_text,
        cast(-1 as bigint) as _row_id,
        cast(null as string) as _reason
    from {{ seed }}
    where not exists (select 1 from {{ landed }})
    {%- endif %}

)

select
    {%- for column in columns %}
    judged.{{ column.name }},
    {%- endfor %}
    {%- if 'conversation_key' in model.columns %}
    {{ text_key('judged.conversation_id') }} as conversation_key,
    {%- endif %}
    {%- if '_landed_id' in model.columns %}
    judged._landed_id,
    {%- endif %}
    judged._row_id
from judged
left join newest on judged._row_text = newest._row_text
where
    judged._reason is null
    and (newest._row_id is null or judged._row_id = newest._row_id)
    {%- if parent is not none %}
    and {{ text_key('judged.conversation_id') }} in (select conversation_key from {{ parent }})
    {%- endif %}
{%- endmacro %}


{#- The rows of a conformed model that landed since the last run, or were orphans until now, and are the
    newest of their key. -#}
{% macro conform_arrived(landed, columns, parent) -%}
    {%- set key = contract_key(columns) -%}
with landed as (

    {{ typed_rows('(' ~ arrived_rows(landed, model.alias) ~ ')', columns) }}

),

judged as (

    select
        {%- for column in columns %}
        {{ typed_value(column) }} as {{ column.name }},
        {%- endfor %}
        {%- if '_landed_id' in model.columns %}
        {{ landed_id(key) }} as _landed_id,
        {%- endif %}
        _row_id,
        row_number() over (partition by {{ key }} order by _row_id desc) as newest_first
    from landed
    where
        {{ rejection_reason(columns) }} is null
        {%- if parent is not none %}
        and {{ text_key(opaque_id('landed.conversation_id')) }} in (
            select conversation_key from {{ parent }}
        )
        {%- endif %}

)

select
    {%- for column in columns %}
    judged.{{ column.name }},
    {%- endfor %}
    {%- if 'conversation_key' in model.columns %}
    {{ text_key('judged.conversation_id') }} as conversation_key,
    {%- endif %}
    {%- if '_landed_id' in model.columns %}
    judged._landed_id,
    {%- endif %}
    judged._row_id
from judged
left join {{ this }} as kept
    on
        judged.{{ key }} = kept.{{ key }}
        and judged._row_id < kept._row_id
where
    judged.newest_first = 1
    and kept._row_id is null
{%- endmacro %}


{#- The rows of a raw relation that landed since the last run, and those that were orphans then. -#}
{% macro arrived_rows(landed, entity) -%}
select arrived.*
from {{ landed }} as arrived
where arrived._row_id > {{ this_run().previous_row_id }}
union all
select waiting.*
from {{ landed }} as waiting
inner join touched.orphans
    on
        waiting._row_id = orphans._row_id
        and orphans.table_name = '{{ entity }}'
{%- endmacro %}


{#- The landed columns of a conformed model, as dictionaries: name, data_type, role, own_time,
    accepted_values, default. Columns the warehouse adds are left out. -#}
{% macro contract_columns(node) -%}
    {%- set columns = [] -%}
    {%- for column in node.columns.values() if not column.name.startswith('_') and column.name != 'conversation_key' -%}
        {%- set meta = (column.config.meta if column.config else {}) or column.meta or {} -%}
        {%- do columns.append({
            'name': column.name,
            'data_type': column.data_type | lower | replace('text', 'string'),
            'role': meta.get('role', ''),
            'own_time': meta.get('own_time', false),
            'accepted_values': meta.get('accepted_values', []),
            'default': meta.get('default'),
            'personal': meta.get('personal', false),
            'stays_in_raw': meta.get('stays_in_raw', false),
        }) -%}
    {%- endfor -%}
    {{ return(columns) }}
{%- endmacro %}


{#- The name of the primary key column, or none. -#}
{% macro contract_key(columns) -%}
    {%- set keys = columns | selectattr('role', 'equalto', 'primary_key') | map(attribute='name') | list -%}
    {{ return(keys[0] if keys else none) }}
{%- endmacro %}


{#- The text that tells landed rows apart: the primary key, else all columns one after the other. -#}
{% macro row_key_text(columns) -%}
    {%- set key = contract_key(columns) -%}
    {%- if key -%}
        {{ return(key) }}
    {%- endif -%}
    {%- set parts = [] -%}
    {%- for column in columns -%}
        {%- do parts.append("coalesce(" ~ column.name ~ ", '')") -%}
    {%- endfor -%}
    {{ return("(" ~ parts | join(" || '|' || ") ~ ")") }}
{%- endmacro %}


{#- The rows of a raw relation with a column <name>_typed beside every column, so that each text is cast
    or masked once. -#}
{% macro typed_rows(landed, columns) -%}
select
    landed.*
    {%- for column in columns %},
    {{ try_typed('landed.' ~ column.name, column) }} as {{ column.name }}_typed
    {%- endfor %}
from {{ landed }} as landed
{%- endmacro %}


{#- The rows of a raw relation that belong to the newest version of their file: a file edited and loaded
    again replaces what it said before. -#}
{% macro newest_versions(landed) -%}
select versions.*
from {{ landed }} as versions
inner join (
    select
        _file,
        max(_load_id) as _load_id
    from {{ landed }}
    group by _file
) as newest_files
    on
        versions._file = newest_files._file
        and versions._load_id = newest_files._load_id
{%- endmacro %}


{#- The value of a column of typed_rows, its default where it is null. -#}
{% macro typed_value(column) -%}
    {%- set typed = column.name ~ '_typed' -%}
    {%- if column.default is not none -%}
        coalesce({{ typed }}, {{ "'" ~ column.default ~ "'" if column.data_type == 'string' else column.default }})
    {%- else -%}
        {{ typed }}
    {%- endif -%}
{%- endmacro %}


{#- A text column without direct identifiers: personal columns and listed values as they are, because
    the ones are not published and the others cannot hold any; ids that identify hashed, all else
    masked. What stays in `raw` is null. Of articles cited each is an id, so int_citations hashes them
    one by one; a list of none is null. -#}
{% macro publishable(column, text) -%}
    {%- if column.stays_in_raw -%} cast(null as string)
    {%- elif column.data_type != 'string' or column.personal or column.accepted_values -%} {{ text }}
    {%- elif column.name == 'cited_sources' -%} case when trim(replace({{ text }}, '|', ' ')) <> '' then {{ text }} end
    {%- elif column.name in ('bot_id', 'flow_id', 'step_id') -%} {{ mask_identifiers(text) }}
    {%- elif column.role in ('primary_key', 'parent') or column.name.endswith('_id') -%} {{ opaque_id(text) }}
    {%- else -%} {{ mask_identifiers(text) }}
    {%- endif -%}
{%- endmacro %}


{#- The id a row landed with, where its own is the hash of it, else null. -#}
{% macro landed_id(text) -%}
    case when {{ is_personal_id(text) }} then {{ text }} end
{%- endmacro %}


{#- A text as the type of a column, null where it is not one; texts without direct identifiers. -#}
{% macro try_typed(text, column) -%}
    {%- set data_type = column.data_type -%}
    {%- if data_type == 'string' -%} {{ publishable(column, text) }}
    {%- elif data_type == 'timestamp' -%} {{ to_utc(text, 'landed._time_zone') }}
    {%- elif data_type == 'bigint' -%} {{ to_integer(text) }}
    {%- elif data_type == 'double' -%} {{ to_number(text) }}
    {%- elif data_type == 'boolean' -%} {{ to_boolean(text) }}
    {%- elif data_type == 'date' -%} {{ to_date(text) }}
    {%- else -%} {{ exceptions.raise_compiler_error("A landed column cannot have the type '" ~ data_type ~ "'.") }}
    {%- endif -%}
{%- endmacro %}


{#- Why a row of typed_rows is rejected, null when it is not: the first check that fails, in words. Whether its
    conversation is known is left to the caller, who has the known ones at hand. -#}
{% macro rejection_reason(columns) -%}
    case
    {%- for column in columns %}
        {%- if column.role == 'primary_key' %}
        when {{ column.name }} is null then 'primary key {{ column.name }} is null'
        {%- elif column.role in ('required', 'parent') %}
        when {{ column.name }} is null then 'required {{ column.name }} is null'
        {%- endif %}
    {%- endfor %}
    {%- for column in columns %}
        {%- if column.data_type != 'string' %}
        when {{ column.name }} is not null and {{ column.name }}_typed is null
            then '{{ column.name }} does not cast to {{ column.data_type }}'
        {%- elif column.accepted_values %}
        when {{ column.name }} not in ('{{ column.accepted_values | join("', '") }}')
            then '{{ column.name }} is not an accepted value'
        {%- endif %}
    {%- endfor %}
    {%- for column in columns if column.own_time %}
        when {{ column.name }}_typed > _loaded_at + interval '1' day
            then 'future: {{ column.name }} is more than a day after the load'
    {%- endfor %}
    end
{%- endmacro %}
