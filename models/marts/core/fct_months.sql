-- Grain: month with costs or episodes. Key: month.
-- Left out: nothing. Costs and what they bought, in the reporting currency; null where the costs,
-- their rate or the baseline is unknown.
with parts as (

    select
        month,
        amount,
        case when category in ('bot_platform', 'llm', 'channel') then amount end as bot_amount,
        case
            when category in ('agent_labour', 'tools', 'devices') then amount else 0
        end as other_amount
    from {{ ref('fct_costs') }}

),

costs as (

    select
        month,
        case when count(*) = count(amount) then sum(amount) end as all_costs,
        case when count(*) = count(amount) then sum(bot_amount) end as bot_costs,
        case when count(*) = count(amount) then sum(other_amount) end as other_costs
    from parts
    group by month

),

episodes as (

    select
        {{ period_start('month', 'started_date') }} as month,
        count(case when answer_count > 0 or has_agent_message then 1 end) as served_count,
        count(case when is_involved then 1 end) as involved_count
    from {{ ref('fct_episodes') }}
    group by {{ period_start('month', 'started_date') }}

),

margins as (

    select
        {{ period_start('month', 'closed_date') }} as month,
        sum(margin) as attributed_margin
    from {{ ref('fct_attribution') }}
    where model = 'last_touch'
    group by {{ period_start('month', 'closed_date') }}

),

months as (

    select month from costs
    union
    select month from episodes

),

baselines as (

    select
        months.month,
        max(baseline.value * rates.rate) as baseline_cost_per_service
    from months
    inner join {{ ref('conformed_baseline') }} as baseline
        on baseline.metric = 'cost_per_service'
    inner join {{ ref('int_exchange_rates') }} as rates
        on {{ rate_in_force('rates', 'baseline.currency', 'months.month') }}
    group by months.month

)

select
    months.month,
    costs.all_costs,
    costs.bot_costs,
    costs.other_costs,
    margins.attributed_margin,
    case
        when costs.month is not null or episodes.served_count > 0
            then baselines.baseline_cost_per_service
    end as baseline_cost_per_service,
    coalesce(episodes.served_count, 0) as served_count,
    coalesce(episodes.involved_count, 0) as involved_count,
    baselines.baseline_cost_per_service
    - costs.all_costs / nullif(episodes.served_count, 0) as saving_per_service,
    baselines.baseline_cost_per_service * coalesce(episodes.served_count, 0)
    - costs.other_costs
    + coalesce(margins.attributed_margin, 0)
    - costs.bot_costs as net_benefit
from months
left join costs on months.month = costs.month
left join episodes on months.month = episodes.month
left join margins on months.month = margins.month
left join baselines on months.month = baselines.month
