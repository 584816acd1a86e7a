-- The resolution policies name one called house, without which no episode has an outcome, and a
-- return does not block it, as no outcome says so.
select 'house' as missing_policy
where
    (
        select count(*)
        from {{ ref('conformed_resolution_policies') }}
        where
            policy = 'house'
            and return_blocks_hours is null
    ) <> 1
