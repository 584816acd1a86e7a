{#- Percentile of sorted values by linear interpolation, as SQL's percentile_cont; the values are coded,
    see coded_at. -#}
{% macro percentile_of(codes, members, share) -%}
    {%- set rank = '(1 + ' ~ share ~ ' * (' ~ array_size(codes) ~ ' - 1))' -%}
    (
        {{ coded_at(codes, members, 'floor(' ~ rank ~ ')') }}
        + ({{ rank }} - floor({{ rank }}))
        * (
            {{ coded_at(codes, members, 'ceil(' ~ rank ~ ')') }}
            - {{ coded_at(codes, members, 'floor(' ~ rank ~ ')') }}
        )
    )
{%- endmacro %}

{#- The value of a rank in an array of codes, each the position of a value in the array `members`. -#}
{% macro coded_at(codes, members, rank) -%}
    {{ array_at(members, array_at(codes, rank)) }}
{%- endmacro %}

{#- Rank of the order statistic that bounds the median from below at 95 %, from n values; the upper bound
    is the value of the same rank from above. Zero below six values, where there is no such interval.
    The binomial rank, in its normal approximation with continuity correction. -#}
{% macro median_rank(size) -%}
    greatest(floor({{ size }} / 2e0 - 0.9799819922700269 * sqrt({{ size }}) + 0.5e0), 0)
{%- endmacro %}

{#- One bound of the Wilson 95 % interval of a rate; `side` is '-' or '+'. Null without members. -#}
{% macro wilson_bound(numerator, denominator, side) -%}
    {%- set z2 = '3.841458820694124' -%}
    {%- set n = denominator -%}
    {%- set p = '(' ~ numerator ~ ' / nullif(' ~ denominator ~ ', 0))' -%}
    {{ 'greatest(0e0, ' if side == '-' else 'least(1e0, ' -}}
        (
            {{ p }} + {{ z2 }} / (2 * nullif({{ n }}, 0))
            {{ side }} sqrt(
                {{ z2 }} * (
                    {{ p }} * (1 - {{ p }}) + {{ z2 }} / (4 * nullif({{ n }}, 0))
                ) / nullif({{ n }}, 0)
            )
        ) / (1 + {{ z2 }} / nullif({{ n }}, 0))
    )
{%- endmacro %}

{#- The 97.5 % quantile of Student's t above the degrees of freedom the seed student_t lists, by the
    Cornish-Fisher expansion (absolute error below 1e-10 from 100 degrees on). -#}
{% macro student_t_tail(df) -%}
    {%- set z = 1.959963984540054 -%}
    (
        {{ z }}
        + {{ (z ** 3 + z) / 4 }} / {{ df }}
        + {{ (5 * z ** 5 + 16 * z ** 3 + 3 * z) / 96 }} / power({{ df }}, 2)
        + {{ (3 * z ** 7 + 19 * z ** 5 + 17 * z ** 3 - 15 * z) / 384 }} / power({{ df }}, 3)
        + {{ (79 * z ** 9 + 776 * z ** 7 + 1482 * z ** 5 - 1920 * z ** 3 - 945 * z) / 92160 }}
        / power({{ df }}, 4)
    )
{%- endmacro %}

{#- Sample variance of n values from their sum and their sum of squares; null below two values. What is
    left of equal values by rounding is 0. -#}
{% macro variance(sum, count, squares) -%}
    case
        when {{ count }} > 1 and {{ squares }} - {{ sum }} * {{ sum }} / {{ count }} > 1e-13 * {{ squares }}
            then ({{ squares }} - {{ sum }} * {{ sum }} / {{ count }}) / ({{ count }} - 1)
        when {{ count }} > 1 then 0e0
    end
{%- endmacro %}
