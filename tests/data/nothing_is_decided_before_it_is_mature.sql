-- A flag that looks ahead is null, and a verdict pending, until its window is past.
select
    'fct_episodes' as table_name,
    episode_id as row_id
from {{ rows_to_test(ref('fct_episodes')) }}
where
    (
        decided_at > {{ as_of() }}
        and (
            is_mature
            or is_resolved is not null
            or is_contained is not null
            or is_deflected is not null
            or is_partly_automated is not null
            or is_fcr is not null
            or is_reopened is not null
            or is_converted is not null
        )
    )
    or (
        ended_at + interval '{{ var("fcr_window_days") }}' day > {{ as_of() }}
        and (is_fcr is not null or is_reopened is not null)
    )
    or (
        started_at + interval '{{ var("conversion_window_days") }}' day > {{ as_of() }}
        and is_converted is not null
    )
union all
select
    'fct_resolutions' as table_name,
    episode_id as row_id
from {{ rows_to_test(ref('fct_resolutions')) }}
where
    decided_at > {{ as_of() }}
    and verdict <> 'pending'
union all
select
    'fct_sessions' as table_name,
    session_id as row_id
from {{ rows_to_test(ref('fct_sessions')) }}
where
    {{ plus_hours('ended_at', var('self_service_window_hours')) }} > {{ as_of() }}
    and (has_contact_action is not null or has_other_channel_action is not null)
union all
select
    'fct_messages' as table_name,
    message_id as row_id
from {{ rows_to_test(ref('fct_messages')) }}
where
    sent_at + interval '{{ var("conversion_window_days") }}' day > {{ as_of() }}
    and is_accepted is not null
union all
select
    'fct_leads' as table_name,
    person_id as row_id
from {{ rows_to_test(ref('fct_leads')) }}
where
    lead_at + interval '{{ var("lead_to_sale_window_days") }}' day > {{ as_of() }}
    and is_mature
