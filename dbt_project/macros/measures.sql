{#- a / b to six decimals; null where b is 0 or either is unknown. -#}
{% macro ratio(numerator, denominator, factor=1) -%}
    round({{ factor ~ ' * ' if factor != 1 }}{{ numerator }} / nullif({{ denominator }}, 0)::numeric, 6)
{%- endmacro %}

{#- The derived measures of a rollup, from its additive ones; units as in Ads Manager. -#}
{% macro derived_measures() -%}
    {{ ratio('clicks', 'impressions', 100) }} as ctr,
    {{ ratio('spend', 'clicks') }} as cpc,
    {{ ratio('spend', 'impressions', 1000) }} as cpm,
    {{ ratio('spend', 'conversions') }} as cpa,
    {{ ratio('revenue', 'spend') }} as roas
{%- endmacro %}

{#- The additive measures of metric_facts, summed. Null stays null where nothing is known. -#}
{% macro summed_measures() -%}
    sum(spend) as spend,
    sum(impressions)::bigint as impressions,
    sum(clicks)::bigint as clicks,
    sum(link_clicks)::bigint as link_clicks,
    sum(purchases) as purchases,
    sum(revenue) as revenue,
    sum(leads) as leads,
    sum(conversions) as conversions
{%- endmacro %}

{#- Delivery of several source rows that fall into one hour. -#}
{% macro summed_delivery(relation) -%}
    sum({{ relation }}.spend) as spend,
    sum({{ relation }}.impressions)::bigint as impressions,
    sum({{ relation }}.clicks)::bigint as clicks,
    sum({{ relation }}.link_clicks)::bigint as link_clicks
{%- endmacro %}

{#- The median of numerics without passing through float, as percentile_cont would. -#}
{% macro exact_median(expression) -%}
    (
        percentile_disc(0.5) within group (order by {{ expression }})
        + percentile_disc(0.5) within group (order by {{ expression }} desc)
    ) / 2
{%- endmacro %}
