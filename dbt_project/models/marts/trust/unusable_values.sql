{{ config(materialized='view') }}

{%- set tables = {
    'account': 'ad_accounts',
    'campaign': 'campaigns',
    'adset': 'adsets',
    'ad': 'ads',
    'creative': 'creatives',
} %}

-- What staging cannot read, by the same list of fields: null in its column, everything else built.
with documents as (
    {% for level, table in tables.items() %}
        select
            '{{ level }}' as level,
            account_id,
            {{ 'account_id' if level == 'account' else 'id' }} as external_entity_id,
            name,
            document,
            changed_at
        from {{ source('raw', table) }}
        {{ 'union all' if not loop.last }}
    {% endfor %}
),

fields as (
    select *
    from (
        values
        {{ document_field_rows() }}
    ) as listed (level, path, kind)
)

select
    accounts.workspace_id,
    documents.account_id,
    documents.level,
    documents.external_entity_id,
    documents.name,
    replace(fields.path, ',', '.') as field,
    case fields.kind
        when 'smallint' then 'whole number'
        when 'flag' then 'true or false'
        when 'instant' then 'time with its offset'
        else fields.kind
    end as expected,
    left((documents.document #> string_to_array(fields.path, ','))::text, 200) as value,
    documents.changed_at
from documents
inner join {{ ref('stg_meta__ad_accounts') }} as accounts
    on documents.account_id = accounts.account_id
inner join fields on documents.level = fields.level
where control.is_unusable(documents.document #> string_to_array(fields.path, ','), fields.kind)
