{{ config(alias='contacts') }}

{{ conform(source('raw', 'contacts')) }}
