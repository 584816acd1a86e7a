{#- The published metrics, as dictionaries: the KPI they publish, the metric, its cells and the SQL of
    numerator, denominator, value, pending, interval. Read from the metric definitions of the project;
    a metric is published when its meta has a title, or names the KPI it adds cells to. -#}
{% macro published_metrics() -%}
    {%- set published = [] -%}
    {%- for metric in graph.metrics.values() | sort(attribute='name') -%}
        {%- set meta = metric.config.meta -%}
        {%- if meta.get('title') or meta.get('kpi') -%}
            {%- do published.append(metric_sql(metric)) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(published) }}
{%- endmacro %}


{#- One published metric; see published_metrics. -#}
{% macro metric_sql(metric) -%}
    {%- set meta = metric.config.meta -%}
    {%- set measures = measure_index() -%}
    {%- set used = [] -%}
    {%- set point = {
        'kpi': meta.get('kpi', metric.name),
        'metric': metric.name,
        'grains': meta.get('grains', ['day', 'week', 'month']),
        'dimensions': meta.get('dimensions'),
        'pending': '0',
        'interval': 'none',
        'low': 'cast(null as double)',
        'high': 'cast(null as double)',
        'variance': 'cast(null as double)',
    } -%}
    {%- if metric.type == 'simple' -%}
        {%- set measure = measures[metric.type_params.measure.name] -%}
        {%- do used.append(measure.name) -%}
        {%- if measure.agg == 'average' -%}
            {%- do point.update({
                'kind': 'mean',
                'numerator': measure.name ~ '_sum',
                'denominator': measure.name ~ '_count',
                'value': measure.name ~ '_sum / nullif(' ~ measure.name ~ '_count, 0)',
                'variance': variance(
                    measure.name ~ '_sum', measure.name ~ '_count', measure.name ~ '_squares'
                ),
                'interval': 't',
            }) -%}
        {%- elif measure.agg in ('median', 'percentile') -%}
            {%- do point.update({
                'kind': 'percentile',
                'numerator': 'cast(null as double)',
                'denominator': measure.name ~ '_count',
                'value': measure.name,
            }) -%}
            {%- if measure.agg == 'median' -%}
                {%- do point.update({
                    'low': measure.name ~ '_low',
                    'high': measure.name ~ '_high',
                }) -%}
            {%- endif -%}
        {%- else -%}
            {%- do point.update({
                'kind': 'share' if meta.get('share_of_all') else 'count',
                'numerator': measure.name,
                'denominator': 'cast(null as double)',
                'value': measure.name,
            }) -%}
        {%- endif -%}
    {%- elif metric.type == 'ratio' -%}
        {%- set numerator = ratio_part(metric.type_params.numerator.name, used) -%}
        {%- set denominator = ratio_part(metric.type_params.denominator.name, used) -%}
        {%- do point.update({
            'kind': 'ratio',
            'numerator': numerator,
            'denominator': denominator,
            'value': '(' ~ numerator ~ ') / nullif(' ~ denominator ~ ', 0)',
            'interval': 'wilson' if meta.get('unit') == 'rate' else 'none',
        }) -%}
    {%- else -%}
        {{ exceptions.raise_compiler_error("Metric " ~ metric.name ~ " has type '" ~ metric.type ~ "', which kpi_values does not know; define it as simple or ratio.") }}
    {%- endif -%}
    {%- if meta.get('pending') -%}
        {%- do used.append(meta.pending) -%}
        {%- do point.update({'pending': meta.pending}) -%}
    {%- endif -%}
    {%- set models = [] -%}
    {%- for name in used if measures[name].semantic_model not in models -%}
        {%- do models.append(measures[name].semantic_model) -%}
    {%- endfor -%}
    {%- do point.update({
        'semantic_models': models,
        'measures': used | unique | list,
        'all_dimensions': common_dimensions(models, point),
    }) -%}
    {{ return(point) }}
{%- endmacro %}


{#- SQL of one side of a ratio over cell columns; adds the measures it reads to `used`. -#}
{% macro ratio_part(metric_name, used) -%}
    {%- set metric = graph.metrics['metric.parley.' ~ metric_name] -%}
    {%- if metric.type == 'simple' -%}
        {%- do used.append(metric.type_params.measure.name) -%}
        {{ return(metric.type_params.measure.name) }}
    {%- endif -%}
    {%- set numerator = ratio_part(metric.type_params.numerator.name, used) -%}
    {%- set denominator = ratio_part(metric.type_params.denominator.name, used) -%}
    {{ return(numerator ~ ' / nullif(' ~ denominator ~ ', 0)') }}
{%- endmacro %}


{#- Measures by name, each with its aggregation and the semantic model it belongs to. -#}
{% macro measure_index() -%}
    {%- set index = {} -%}
    {%- for model in graph.semantic_models.values() -%}
        {%- for measure in model.measures -%}
            {%- do index.update({measure.name: {
                'name': measure.name,
                'agg': measure.agg,
                'semantic_model': model.name,
            }}) -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ return(index) }}
{%- endmacro %}


{#- The dimensions a metric is published under: those all its semantic models share and that cut it, or
    those its meta names. -#}
{% macro common_dimensions(models, point) -%}
    {%- set shared = [] -%}
    {%- for dimension in kpi_dimensions(graph.semantic_models['semantic_model.parley.' ~ models[0]]) -%}
        {%- set cuts = dimension.config.meta.cuts -%}
        {%- if cuts == 'all' or point.kpi in cuts -%}
            {%- set names = {'everywhere': true} -%}
            {%- for other in models[1:] -%}
                {%- if dimension.name not in (kpi_dimensions(graph.semantic_models['semantic_model.parley.' ~ other]) | map(attribute='name')) -%}
                    {%- do names.update({'everywhere': false}) -%}
                {%- endif -%}
            {%- endfor -%}
            {%- if names.everywhere -%}
                {%- do shared.append(dimension.name) -%}
            {%- endif -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(point.dimensions if point.dimensions is not none else ['all'] + shared) }}
{%- endmacro %}


{#- A select of the points of one published metric: kpi, grain, period_start, dimension, dimension_value,
    numerator, denominator, value, pending, interval, variance, ci_low, ci_high. -#}
{% macro kpi_points(point) -%}
{{ 'select * from (' if point.kind == 'share' }}
select
    '{{ point.kpi }}' as kpi,
    grain,
    period_start,
    dimension,
    dimension_value,
    {{ point.numerator }} as numerator,
    {%- if point.kind == 'share' %}
    max({{ point.numerator }}) over (partition by grain, period_start) as denominator,
    {{ point.numerator }} / nullif(
        max({{ point.numerator }}) over (partition by grain, period_start), 0
    ) as value,
    {%- else %}
    {{ point.denominator }} as denominator,
    {{ point.value }} as value,
    {%- endif %}
    cast({{ point.pending }} as bigint) as pending,
    '{{ 'wilson' if point.kind == 'share' else point.interval }}' as interval_kind,
    {{ point.variance }} as variance,
    {{ point.low }} as ci_low,
    {{ point.high }} as ci_high
from
{%- if point.semantic_models | length == 1 %} {{ ref('kpi_cells_' ~ point.semantic_models[0]) }}
{%- else %} (
    select
        {%- for column in ['grain', 'period_start', 'dimension', 'dimension_value'] %}
        coalesce(
            {%- for name in point.semantic_models %}{{ name }}.{{ column }}{{ ', ' if not loop.last }}{% endfor -%}
        ) as {{ column }},
        {%- endfor %}
        {%- for measure in point.measures %}
        coalesce({{ measure }}, 0) as {{ measure }}{{ ',' if not loop.last }}
        {%- endfor %}
    from {{ ref('kpi_cells_' ~ point.semantic_models[0]) }} as {{ point.semantic_models[0] }}
    {%- for name in point.semantic_models[1:] %}
    full outer join {{ ref('kpi_cells_' ~ name) }} as {{ name }}
        on
            {%- for column in ['grain', 'period_start', 'dimension', 'dimension_value'] %}
            {{ 'and ' if not loop.first }}{{ point.semantic_models[0] }}.{{ column }} = {{ name }}.{{ column }}
            {%- endfor %}
    {%- endfor %}
) as joined
{%- endif %}
where
    {%- if point.grains | length < 3 %}
    grain in ('{{ point.grains | join("', '") }}') and
    {%- endif %}
    {%- if point.kind == 'share' %}
    dimension in ('all', '{{ point.all_dimensions | join("', '") }}')
    {%- else %}
    dimension in ('{{ point.all_dimensions | join("', '") }}')
    {%- endif %}
    and (
        coalesce({{ point.numerator }}, 0) <> 0
        or coalesce({{ point.denominator }}, 0) <> 0
        or {{ point.pending }} > 0
    )
{%- if point.kind == 'share' %}
) as shares
where dimension <> 'all'
{%- endif %}
{%- endmacro %}
