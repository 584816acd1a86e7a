-- The resolution policies name one called house, without which no episode has an outcome.
select 'house' as missing_policy
where
    (
        select count(*)
        from {{ ref('conformed_resolution_policies') }}
        where policy = 'house'
    ) <> 1
