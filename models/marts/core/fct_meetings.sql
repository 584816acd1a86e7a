-- Grain: meeting the bot had a part in. Key: meeting_id.
-- Left out: meetings that neither name a reportable conversation nor follow an involved episode of
-- the person within the attribution window.
with meetings as (

    select
        meetings.meeting_id,
        {{ text_key(
            'coalesce(survivors.survivor_id, meetings.contact_id, conversations.person_name)'
        ) }} as person_key,
        case when conversations.is_reportable then conversations.conversation_key end
            as conversation_key,
        meetings.status,
        meetings.booked_at
    from {{ ref('conformed_meetings') }} as meetings
    left join {{ ref('int_contact_survivors') }} as survivors
        on meetings.contact_id = survivors.contact_id
    left join {{ ref('int_conversations') }} as conversations
        on meetings.conversation_id = conversations.conversation_id
    where meetings.booked_at <= {{ as_of() }}

),

named as (

    select
        meetings.meeting_id,
        coalesce(
            max_by(
                spans.episode_key,
                case
                    when spans.started_at <= meetings.booked_at then spans.episode_number else 0
                end
            ) filter (where spans.started_at <= meetings.booked_at),
            min_by(spans.episode_key, spans.episode_number)
        ) as episode_key
    from meetings
    left join {{ ref('int_episode_spans') }} as spans
        on meetings.conversation_key = spans.conversation_key
    where meetings.conversation_key is not null
    group by meetings.meeting_id

),

touched as (

    select
        meetings.meeting_id,
        episodes.episode_key,
        row_number() over (
            partition by meetings.meeting_id
            order by episodes.started_at desc, episodes.episode_id desc
        ) as newest_first
    from meetings
    inner join {{ ref('int_episodes') }} as episodes
        on
            meetings.person_key = episodes.person_key
            and meetings.booked_at - interval '{{ var("attribution_window_days") }}' day
            <= episodes.started_at
            and episodes.started_at <= meetings.booked_at
    where
        meetings.conversation_key is null
        and episodes.is_involved

),

linked as (

    select
        meetings.*,
        coalesce(named.episode_key, touched.episode_key) as episode_key
    from meetings
    left join named on meetings.meeting_id = named.meeting_id
    left join touched
        on
            meetings.meeting_id = touched.meeting_id
            and touched.newest_first = 1
    where
        named.meeting_id is not null
        or touched.meeting_id is not null

)

select
    linked.meeting_id,
    persons.person_id,
    episodes.episode_id,
    conversations.conversation_id,
    {{ conversation_attributes() }},
    {{ episode_attributes() }},
    linked.status,
    {{ local_day('linked.booked_at') }} as booked_date,
    linked.booked_at
from linked
inner join {{ ref('int_persons') }} as persons
    on linked.person_key = persons.person_key
left join {{ ref('int_episode_dimensions') }} as episodes
    on linked.episode_key = episodes.episode_key
left join {{ ref('int_conversations') }} as conversations
    on coalesce(episodes.conversation_key, linked.conversation_key) = conversations.conversation_key
