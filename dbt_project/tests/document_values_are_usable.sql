{{ config(severity='warn', meta={'dagster': {'ref': {'name': 'dim_campaigns'}}}) }}

-- Values of Meta's documents that are null in the dimensions because of their kind.
select
    account_id,
    level,
    external_entity_id,
    field,
    expected,
    value
from {{ ref('unusable_values') }}
