select
    {{ columns }},
    {{ is_held }} as is_held,
    case
        -- What the refused token left undone need not wait once Meta has accepted the token.
        when s.error_kind = 'auth' and c.status in ('active', 'expiring') and c.last_validated_at > s.finished_at
            then c.last_validated_at
        else s.next_attempt_at
    end as next_attempt_at
from control.slices as s
inner join control.ad_accounts as a on s.account_id = a.account_id and a.is_active
left join control.connections as c on a.connection_id = c.connection_id
where
    s.status <> 'done' and (%(has_reach)s or s.asset <> %(reach)s)
    and (%(only)s::text[] = '{}' or s.account_id = any(%(only)s))
