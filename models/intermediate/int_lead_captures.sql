-- Grain: person captured as a lead. Key: person_key.
-- Left out: persons whose CRM contact is older than the conversation they were captured in.
with captures as (

    select
        conversations.person_key,
        answers.conversation_key,
        answers.answered_at as captured_at
    from {{ ref('int_answers') }} as answers
    inner join {{ ref('int_conversations') }} as conversations
        on answers.conversation_key = conversations.conversation_key
    where
        answers.field in ('email', 'phone')
        and answers.is_valid
    union all
    select
        person_key,
        conversation_key,
        created_at as captured_at
    from {{ ref('int_leads') }}
    where conversation_key is not null

),

ordered as (

    select
        captures.person_key,
        captures.conversation_key,
        captures.captured_at,
        conversations.opened_at,
        row_number() over (
            partition by captures.person_key
            order by captures.captured_at, conversations.conversation_id
        ) as capture_number
    from captures
    inner join {{ ref('int_conversations') }} as conversations
        on captures.conversation_key = conversations.conversation_key

),

verdicts as (

    select
        person_key,
        min(qualified_at) as qualified_at,
        min(disqualified_at) as disqualified_at
    from {{ ref('int_leads') }}
    group by person_key

)

select
    ordered.person_key,
    ordered.conversation_key,
    ordered.captured_at as lead_at,
    case
        when verdicts.qualified_at is not null then 'qualified'
        when verdicts.disqualified_at is not null then 'disqualified'
        else 'undecided'
    end as status
from ordered
inner join {{ ref('int_persons') }} as persons on ordered.person_key = persons.person_key
left join verdicts on ordered.person_key = verdicts.person_key
where
    ordered.capture_number = 1
    and coalesce(persons.contact_created_at >= ordered.opened_at, true)
