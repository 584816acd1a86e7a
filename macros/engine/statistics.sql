{#- Sorted values. Percentiles are read from the rows of a cell, never averaged. -#}

{#- The non-null values of an expression in a group, sorted, as an array. -#}
{% macro sorted_values(value) -%}
    {{ return(adapter.dispatch('sorted_values', 'parley')(value)) }}
{%- endmacro %}

{% macro default__sorted_values(value) -%}
    list_sort(list({{ value }}) filter (where {{ value }} is not null))
{%- endmacro %}

{% macro spark__sorted_values(value) -%}
    array_sort(collect_list({{ value }}))
{%- endmacro %}

{#- All elements of the sorted arrays of a group, sorted, as one array. -#}
{% macro merged_arrays(array) -%}
    {{ return(adapter.dispatch('merged_arrays', 'parley')(array)) }}
{%- endmacro %}

{% macro default__merged_arrays(array) -%}
    list_sort(flatten(list({{ array }})))
{%- endmacro %}

{% macro spark__merged_arrays(array) -%}
    array_sort(flatten(collect_list({{ array }})))
{%- endmacro %}

{#- Number of elements of an array. -#}
{% macro array_size(array) -%}
    {{ return(adapter.dispatch('array_size', 'parley')(array)) }}
{%- endmacro %}

{% macro default__array_size(array) -%}
    len({{ array }})
{%- endmacro %}

{% macro spark__array_size(array) -%}
    array_size({{ array }})
{%- endmacro %}

{#- Element of an array by position, the first is 1; null outside. -#}
{% macro array_at(array, position) -%}
    {{ return(adapter.dispatch('array_at', 'parley')(array, position)) }}
{%- endmacro %}

{% macro default__array_at(array, position) -%}
    {{ array }}[cast({{ position }} as bigint)]
{%- endmacro %}

{% macro spark__array_at(array, position) -%}
    get({{ array }}, cast({{ position }} as integer) - 1)
{%- endmacro %}
