{#- dbt-spark would alter the table, which plain Parquet refuses; a table of another format is left to
    it. On Parquet the columns a contract says are never null are counted once the table is there. -#}
{% macro spark__persist_constraints(relation, model) -%}
    {%- if config.get('contract').enforced and config.get('file_format', 'parquet') == 'parquet' -%}
        {%- set columns = [] -%}
        {%- for column in model.columns.values() -%}
            {%- if column.constraints | selectattr('type', 'equalto', 'not_null') | list -%}
                {%- do columns.append(column.name) -%}
            {%- endif -%}
        {%- endfor -%}
        {%- if columns -%}
            {%- set counts = [] -%}
            {%- for column in columns -%}
                {%- do counts.append('count_if(' ~ column ~ ' is null)') -%}
            {%- endfor -%}
            {%- set found = run_query('select ' ~ counts | join(', ') ~ ' from ' ~ relation).rows[0] -%}
            {%- for column in columns -%}
                {%- if found[loop.index0] > 0 -%}
                {{ exceptions.raise_compiler_error("Column " ~ column ~ " of " ~ relation ~ " is null in " ~ found[loop.index0] ~ " rows; its contract says not null.") }}
                {%- endif -%}
            {%- endfor -%}
        {%- endif -%}
    {%- elif config.get('contract').enforced and config.get('file_format') == 'delta' -%}
        {%- do alter_table_add_constraints(relation, model.constraints) -%}
        {%- do alter_column_set_constraints(relation, model.columns) -%}
    {%- endif -%}
{%- endmacro %}
