-- depends_on: {{ ref('kpi_cells_sessions') }}
-- depends_on: {{ ref('kpi_cells_leads') }}
-- depends_on: {{ ref('kpi_cells_lead_flows') }}
-- depends_on: {{ ref('kpi_cells_lead_fields') }}
-- depends_on: {{ ref('kpi_cells_meetings') }}
-- depends_on: {{ ref('kpi_cells_attribution') }}
-- depends_on: {{ ref('kpi_cells_deals') }}
-- depends_on: {{ ref('kpi_cells_episodes') }}
-- depends_on: {{ ref('kpi_cells_resolutions') }}
-- depends_on: {{ ref('kpi_cells_handoffs') }}
-- depends_on: {{ ref('kpi_cells_turns') }}
-- depends_on: {{ ref('kpi_cells_messages') }}
-- depends_on: {{ ref('kpi_cells_scored_messages') }}
-- depends_on: {{ ref('kpi_cells_agent_messages') }}
-- depends_on: {{ ref('kpi_cells_feedback') }}
-- depends_on: {{ ref('kpi_cells_events') }}
-- depends_on: {{ ref('kpi_cells_tickets') }}
-- depends_on: {{ ref('kpi_cells_months') }}
-- depends_on: {{ ref('kpi_cells_topics') }}

-- Grain: KPI, grain, period, dimension and dimension value. Key: these five.
-- Left out: periods without members. A rate without mature members is null, never 0.
with points as (
    {% if execute %}
    {%- for point in published_metrics() %}

    {{ kpi_points(point) }}
    {{ 'union all' if not loop.last }}
    {%- endfor %}
    {% else %}
    select 1 as parsed
    {% endif %}
),

with_quantiles as (

    select
        points.*,
        coalesce(
            student_t.quantile_975,
            case
                when points.denominator > 101
                    then {{ student_t_tail('(points.denominator - 1)') }}
            end
        ) as t_quantile
    from points
    left join {{ ref('student_t') }} as student_t
        on points.denominator - 1 = student_t.degrees_of_freedom

)

select
    kpi,
    grain,
    period_start,
    dimension,
    dimension_value,
    numerator,
    denominator,
    value,
    case
        when interval_kind = 'wilson' and denominator > 0
            then {{ wilson_bound('numerator', 'denominator', '-') }}
        when interval_kind = 't' then value - t_quantile * sqrt(variance / denominator)
        else ci_low
    end as ci_low,
    case
        when interval_kind = 'wilson' and denominator > 0
            then {{ wilson_bound('numerator', 'denominator', '+') }}
        when interval_kind = 't' then value + t_quantile * sqrt(variance / denominator)
        else ci_high
    end as ci_high,
    pending,
    pending = 0 as is_final,
    {{ as_of() }} as as_of
from with_quantiles
order by kpi, grain, dimension
