{#- The CTE `assigned`: key of a row -> episode_key, the last episode of its conversation started at or
    before it, else the first. `model` has `key`, `instant` and conversation_key. -#}
{% macro assign_to_episode(model_name, key, instant) -%}
with candidates as (

    select
        facts.{{ key }},
        facts.conversation_key,
        coalesce(
            max(
                case when spans.started_at <= facts.{{ instant }} then spans.episode_number end
            ),
            1
        ) as episode_number
    from {{ changed(model_name) }} as facts
    inner join {{ changed('int_episode_spans') }} as spans
        on facts.conversation_key = spans.conversation_key
    group by facts.{{ key }}, facts.conversation_key

),

assigned as (

    select
        candidates.{{ key }},
        spans.episode_key
    from candidates
    inner join {{ changed('int_episode_spans') }} as spans
        on
            candidates.conversation_key = spans.conversation_key
            and candidates.episode_number = spans.episode_number

)
{%- endmacro %}
