{#- dbt-spark writes the values of a seed into its SQL without escaping them, and null as text. Seeds
    here name the type of every column, so that each value is text as it stands in the file. -#}
{% macro spark__load_csv_rows(model, agate_table) -%}
    {%- set types = model.config.column_types -%}
    {%- for chunk in agate_table.rows | batch(1000) -%}
        {%- set sql -%}
            insert into {{ this.render() }} values
            {%- for row in chunk %}
            (
                {%- for name in agate_table.column_names -%}
                cast({{ text_literal(row[name]) }} as {{ types[name] }}){{ ', ' if not loop.last }}
                {%- endfor -%}
            ){{ ',' if not loop.last }}
            {%- endfor %}
        {%- endset -%}
        {%- do adapter.add_query(sql, abridge_sql_log=true) -%}
    {%- endfor -%}
    {{ return('') }}
{%- endmacro %}
