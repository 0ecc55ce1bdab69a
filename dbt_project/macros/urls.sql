{#- A UTM parameter of an ad's link: from its URL tags, else from the address itself. -#}
{% macro utm(name, url_tags='url_tags', link_url='link_url') -%}
    coalesce(
        substring({{ url_tags }} from '(?:^|[?&])utm_{{ name }}=([^&#]+)'),
        substring({{ link_url }} from '[?&]utm_{{ name }}=([^&#]+)')
    )
{%- endmacro %}
