{#- The entities of the landing contract, in its order. -#}
{% macro landed_entities() -%}
    {{ return([
        'conversations', 'messages', 'events', 'feedback', 'answers', 'contacts', 'leads',
        'meetings', 'deals', 'tickets', 'agents', 'experiment_assignments', 'knowledge_articles',
        'intents', 'flows', 'business_hours', 'holidays', 'costs', 'baseline', 'exchange_rates',
        'model_prices', 'kpi_targets', 'resolution_policies',
    ]) }}
{%- endmacro %}


{#- The entities whose conformed models take in what arrives; the others are small and read whole. -#}
{% macro arriving_entities() -%}
    {{ return([
        'conversations', 'messages', 'events', 'feedback', 'answers', 'contacts', 'leads',
        'meetings', 'deals', 'tickets', 'experiment_assignments',
    ]) }}
{%- endmacro %}
