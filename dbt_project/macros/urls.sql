{#- A UTM parameter of an ad's link: from its URL tags, else from the address itself. -#}
{% macro utm(name, url_tags='url_tags', link_url='link_url') -%}
    coalesce(
        substring({{ url_tags }} from '(?:^|[?&])utm_{{ name }}=([^&#]+)'),
        substring({{ link_url }} from '[?&]utm_{{ name }}=([^&#]+)')
    )
{%- endmacro %}

{#- The address that a click opens: the link with its URL tags in front of any fragment. -#}
{% macro destination_url(link_url, url_tags) -%}
    split_part({{ link_url }}, '#', 1)
    || case
        when nullif({{ url_tags }}, '') is null then ''
        when {{ link_url }} like '%?%' then '&' || ltrim({{ url_tags }}, '?&')
        else '?' || ltrim({{ url_tags }}, '?&')
    end
    || coalesce(substring({{ link_url }} from '#.*$'), '')
{%- endmacro %}

{#- The host of an address, without www. -#}
{% macro domain(url) -%}
    lower(substring({{ url }} from '^[a-zA-Z]+://(?:www\.)?([^/?#:]+)'))
{%- endmacro %}
