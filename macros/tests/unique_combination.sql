{#- Rows of a model whose values in `columns` stand in another row too; two nulls are alike. -#}
{% test unique_combination(model, columns) %}
{%- set written = written_rows(model) %}
select
    {{ columns | join(', ') }},
    count(*) as row_count
from {{ model }}{{ ' as kept' if written }}
{%- if written %}
where exists (
    select 1
    from {{ written }} as written
    where
    {%- for column in columns %}
        {{ 'and ' if not loop.first }}kept.{{ column }} is not distinct from written.{{ column }}
    {%- endfor %}
)
{%- endif %}
group by {{ columns | join(', ') }}
having count(*) > 1
{% endtest %}
