{#- A hash of what facts and rollups mean: the seeds and models with `meta.defines_facts`, facts and
    rollups themselves, and their columns. Comments and layout do not count. Another hash means that
    rows built before stand under another definition. -#}
{% macro definition() -%}
    {%- if not execute -%}{{ return('') }}{%- endif -%}
    {%- set parts = [] -%}
    {%- for node in graph.nodes.values() -%}
        {%- set is_fact = node.config.materialized == 'incremental'
            and node.fqn[1:3] in [['marts', 'facts'], ['marts', 'rollups']] -%}
        {%- if is_fact or (node.config.get('meta') or {}).get('defines_facts') -%}
            {%- set code = modules.re.sub('(?s)\\{#.*?#\\}|--[^\\n]*|\\s+', ' ', node.raw_code or '') -%}
            {%- set content = node.checksum.checksum if node.resource_type == 'seed'
                else modules.re.sub(' +', ' ', code) -%}
            {%- set columns = [] -%}
            {%- for column in node.columns.values() -%}
                {%- do columns.append(column.name ~ ' ' ~ column.data_type) -%}
            {%- endfor -%}
            {%- do parts.append(node.name ~ ': ' ~ content ~ ': ' ~ columns | sort | join(', ')) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(local_md5(parts | sort | join('\n'))[:12]) }}
{%- endmacro %}
