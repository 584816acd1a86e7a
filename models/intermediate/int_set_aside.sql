-- Grain: landed row left out of its conformed model. Key: table_name, file, row_number.
-- Left out: accepted rows. The reason is null for an older copy of a row accepted later.
{% set children = ['messages', 'events', 'feedback', 'answers', 'experiment_assignments'] %}
{% for entity in landed_entities() %}
{{ set_aside(entity, parent=ref('conformed_conversations') if entity in children else none) }}
{% if not loop.last %}union all{% endif %}
{% endfor %}
