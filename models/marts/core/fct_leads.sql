-- Grain: person captured as a lead. Key: person_id.
-- Left out: persons the CRM knew before the conversation that captured them.
with leads as (

    select * from {{ ref('int_lead_captures') }}

),

sales as (

    select
        leads.person_key,
        min(deals.closed_at) as first_won_at,
        sum(deals.amount) as won_amount
    from leads
    inner join {{ ref('int_deals') }} as deals
        on
            leads.person_key = deals.person_key
            and deals.is_won
            and leads.lead_at <= deals.closed_at
            and deals.closed_at
            <= leads.lead_at + interval '{{ var("lead_to_sale_window_days") }}' day
    group by leads.person_key

)

select
    persons.person_id,
    conversations.conversation_id,
    {{ conversation_attributes() }},
    leads.status,
    sales.won_amount,
    leads.lead_at + interval '{{ var("lead_to_sale_window_days") }}' day <= {{ as_of() }}
        as is_mature,
    {{ local_day('leads.lead_at') }} as lead_date,
    leads.lead_at,
    sales.first_won_at
from leads
inner join {{ ref('int_persons') }} as persons
    on leads.person_key = persons.person_key
inner join {{ ref('int_conversations') }} as conversations
    on leads.conversation_key = conversations.conversation_key
left join sales on leads.person_key = sales.person_key
