-- No two conversations, persons, episodes or sessions have the same integer key.
{% set keys = {
    'conformed_conversations': 'conversation_key',
    'int_persons': 'person_key',
    'int_episodes': 'episode_key',
    'int_sessions': 'session_key',
} %}
{% for model_name, key in keys.items() %}
select
    '{{ key }}' as key_name,
    {{ key }} as colliding_key
from {{ ref(model_name) }}
where {{ is_written(ref(model_name), key) }}
group by {{ key }}
having count(*) > 1
{% if not loop.last %}union all{% endif %}
{% endfor %}
