-- No row of a fact, and no milestone on one, is later than as-of.
{% set instants = {
    'fct_attribution': ['closed_at'],
    'fct_conversations': ['opened_at', 'closed_at'],
    'fct_deals': ['created_at', 'closed_at'],
    'fct_episodes': ['started_at', 'ended_at', 'handoff_initiated_at'],
    'fct_events': ['occurred_at'],
    'fct_feedback': ['submitted_at'],
    'fct_handoffs': ['requested_at', 'initiated_at', 'accepted_at'],
    'fct_lead_fields': ['asked_at', 'answered_at'],
    'fct_lead_flows': ['started_at', 'completed_at'],
    'fct_leads': ['lead_at', 'first_won_at'],
    'fct_meetings': ['booked_at'],
    'fct_messages': ['sent_at'],
    'fct_sessions': ['started_at', 'ended_at'],
    'fct_tickets': ['created_at', 'bot_assigned_at', 'closed_at'],
    'fct_turns': ['started_at', 'replied_at'],
} %}
{% for fact, columns in instants.items() %}
select
    '{{ fact }}' as table_name,
    {{ columns[0] }} as own_time
from {{ rows_to_test(ref(fact)) }}
where {{ columns | join(' > ' ~ as_of() ~ ' or ') }} > {{ as_of() }}
{% if not loop.last %}union all{% endif %}
{% endfor %}
