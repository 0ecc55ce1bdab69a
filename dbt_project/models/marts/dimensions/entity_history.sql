{{ config(
    unique_key=['level', 'external_entity_id', 'valid_from'],
    meta={'window_column': 'none', 'scope_columns': ['level', 'external_entity_id']},
    indexes=[{'columns': ['level', 'external_entity_id', 'valid_from'], 'unique': true}]
) }}

-- Only entities with a version that this table has not seen are read again: documents are large
-- and most never change.
with landed as (
    select
        level,
        external_entity_id,
        count(*) as versions,
        max(valid_from) as last_version_at
    from {{ ref('stg_meta__entity_versions') }}
    group by level, external_entity_id
),

known as (
    {#- A table of before there was `changed_fields` is read anew, so that every range has it. #}
    {% if is_incremental() and 'changed_fields' in adapter.get_columns_in_relation(this) | map(attribute='name') -%}
        select
            level,
            external_entity_id,
            sum(versions)::bigint as versions,
            max(last_version_at) as last_version_at
        from {{ this }}
        group by level, external_entity_id
    {% else %}
        select
            level,
            external_entity_id,
            versions,
            last_version_at
        from landed
        where false
    {% endif %}
),

changed as (
    select
        level,
        external_entity_id,
        versions,
        last_version_at
    from landed
    except
    select
        level,
        external_entity_id,
        versions,
        last_version_at
    from known
),

documents as (
    select
        versions.account_id,
        versions.level,
        versions.external_entity_id,
        versions.valid_from,
        {{ document_value('name', 'text', 'versions.document') }} as name,
        {{ document_value('status', 'text', 'versions.document') }} as status,
        {{ document_value('effective_status', 'text', 'versions.document') }} as effective_status,
        case versions.level
            when 'ad' then {{ document_value('adset_id', 'text', 'versions.document') }}
            when 'adset' then {{ document_value('campaign_id', 'text', 'versions.document') }}
            when 'account' then null
            else versions.account_id
        end as parent_external_id,
        {{ document_value('objective', 'text', 'versions.document') }} as objective,
        {{ document_value('optimization_goal', 'text', 'versions.document') }} as optimization_goal,
        {{ document_value('bid_strategy', 'text', 'versions.document') }} as bid_strategy,
        {{ limit_in_major_units(document_value('bid_amount', 'number', 'versions.document')) }} as bid_amount,
        {{ limit_in_major_units(document_value('daily_budget', 'number', 'versions.document')) }}
            as daily_budget,
        {{ limit_in_major_units(document_value('lifetime_budget', 'number', 'versions.document')) }}
            as lifetime_budget,
        {{ limit_in_major_units(document_value('spend_cap', 'number', 'versions.document')) }} as spend_cap,
        {{ document_value('creative,id', 'text', 'versions.document') }} as creative_id,
        {{ document_value('learning_stage_info,status', 'text', 'versions.document') }} as learning_status
    from {{ ref('stg_meta__entity_versions') }} as versions
    inner join changed
        on
            versions.level = changed.level
            and versions.external_entity_id = changed.external_entity_id
    left join {{ ref('stg_meta__ad_accounts') }} as accounts
        on versions.account_id = accounts.account_id
    left join {{ ref('currency_offsets') }} as offsets on accounts.currency = offsets.currency
),

{% set tracked = [
    'account_id', 'name', 'status', 'effective_status', 'parent_external_id', 'objective',
    'optimization_goal', 'bid_strategy', 'bid_amount', 'daily_budget', 'lifetime_budget',
    'spend_cap', 'creative_id', 'learning_status',
] -%}

compared as (
    select
        documents.*,
        jsonb_build_array({{ tracked | join(', ') }}) as tracked,
        lag(jsonb_build_array({{ tracked | join(', ') }})) over entity as previous
    from documents
    window entity as (partition by level, external_entity_id order by valid_from)
),

numbered as (
    select
        compared.*,
        count(*) filter (where tracked is distinct from previous) over entity as range_number
    from compared
    window entity as (partition by level, external_entity_id order by valid_from)
),

ranges as (
    select
        level,
        external_entity_id,
        min(valid_from) as valid_from,
        max(valid_from) as last_version_at,
        count(*) as versions,
        {{ tracked | join(', ') }}
    from numbered
    group by level, external_entity_id, range_number, {{ tracked | join(', ') }}
)

select
    level,
    external_entity_id,
    valid_from,
    lead(valid_from) over entity as valid_to,
    md5('meta:' || level || ':' || external_entity_id)::uuid as entity_id,
    {{ tracked | join(', ') }},
    versions,
    last_version_at,
    case
        when row_number() over entity > 1
            then
                array_remove(
                    array[
                        {% for field in tracked -%}
                            case
                                when {{ field }} is distinct from lag({{ field }}) over entity
                                    then '{{ field }}'
                            end{{ ',' if not loop.last }}
                        {% endfor %}
                    ],
                    null
                )
    end as changed_fields
from ranges
window entity as (partition by level, external_entity_id order by valid_from)
