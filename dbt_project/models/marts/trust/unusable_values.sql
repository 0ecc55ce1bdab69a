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
        -- With the paths and kinds as constants: most documents are passed over in a microsecond.
        where
            {% for _, kind, path in document_fields()[level] %}
                {{ 'or ' if not loop.first -}}
                control.is_unusable(document #> '{{ '{' ~ path ~ '}' }}', '{{ kind }}')
            {% endfor %}
        {{ 'union all' if not loop.last }}
    {% endfor %}
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
cross join lateral (
    select
        listed.path,
        listed.kind
    from (
        values
        {{ document_field_rows() }}
    ) as listed (level, path, kind)
    where
        listed.level = documents.level
        and control.is_unusable(
            documents.document #> string_to_array(listed.path, ','), listed.kind
        )
    -- A fence: the few documents come first, then their fields.
    limit all offset 0 -- noqa: AM09
) as fields
