{#- Links followed to their end, as two CTEs ending in `followed`: start, survivor_id, is_cycle. A walk
    that comes back to where it has been stops there. -#}
{% macro follow_links(links, start, next) -%}
    {{ return(adapter.dispatch('follow_links', 'parley')(links, start, next)) }}
{%- endmacro %}

{% macro default__follow_links(links, start, next) -%}
walk as (

    select
        {{ start }},
        {{ next }} as survivor_id,
        1 as hops,
        '|' || {{ start }} || '|' as visited
    from {{ links }}
    union all
    select
        walk.{{ start }},
        {{ links }}.{{ next }} as survivor_id,
        walk.hops + 1 as hops,
        walk.visited || {{ links }}.{{ start }} || '|' as visited
    from walk
    inner join {{ links }} on walk.survivor_id = {{ links }}.{{ start }}
    where instr(walk.visited, '|' || walk.survivor_id || '|') = 0

),

last_hops as (

    select
        {{ start }},
        max(hops) as hops
    from walk
    group by {{ start }}

),

followed as (

    select
        walk.{{ start }},
        walk.survivor_id,
        instr(walk.visited, '|' || walk.survivor_id || '|') > 0 as is_cycle
    from walk
    inner join last_hops
        on
            walk.{{ start }} = last_hops.{{ start }}
            and walk.hops = last_hops.hops

)
{%- endmacro %}
