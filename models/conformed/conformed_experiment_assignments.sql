{{ config(alias='experiment_assignments') }}

{{ conform(source('raw', 'experiment_assignments'), parent=ref('conformed_conversations')) }}
