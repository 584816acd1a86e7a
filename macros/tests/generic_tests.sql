{#- dbt's own generic tests, which stand here once more to look at the rows written_rows names. -#}

{% test not_null(model, column_name) %}
select {{ '*' if should_store_failures() else column_name }}
from {{ rows_to_test(model) }}
where {{ column_name }} is null
{% endtest %}


{% test accepted_values(model, column_name, values, quote=True) %}
{%- set mark = "'" if quote else '' %}
select
    {{ column_name }} as value_field,
    count(*) as n_records
from {{ rows_to_test(model) }}
where {{ column_name }} not in ({{ mark ~ values | join(mark ~ ', ' ~ mark) ~ mark }})
group by {{ column_name }}
{% endtest %}


{#- A value this run wrote may stand in any row. -#}
{% test unique(model, column_name) %}
select
    {{ column_name }} as unique_field,
    count(*) as n_records
from {{ model }}
where
    {{ column_name }} is not null
    and {{ is_written(model, column_name) }}
group by {{ column_name }}
having count(*) > 1
{% endtest %}


{#- A row points nowhere because it was written so, or because the row it points to was taken out and not
    written again. When there is no telling what was taken out, all rows are looked at. -#}
{% test relationships(model, column_name, to, field) %}
{%- set written = written_rows(model) if removed_rows(to) else none %}
with child as (

    select {{ column_name }} as from_field
    from {{ written or model }}
    where {{ column_name }} is not null
    {%- if written %}
    union all
    select {{ column_name }} as from_field
    from {{ model }}
    where
        {{ column_name }} in (
            select {{ field }} from {{ removed_rows(to) }}
            except
            select {{ field }} from {{ written_rows(to) }}
        )
    {%- endif %}

),

parent as (

    select {{ field }} as to_field
    from {{ to }}

)

select child.from_field
from child
left join parent on child.from_field = parent.to_field
where parent.to_field is null
{% endtest %}
