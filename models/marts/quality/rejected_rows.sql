-- Grain: landed row that was rejected. Key: table_name, file, row_number.
-- Left out: accepted rows and older copies. Personal values are masked.
select
    table_name,
    file,
    row_number,
    reason,
    raw
from {{ ref('int_set_aside') }}
where reason is not null
