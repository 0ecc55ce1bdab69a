insert into control.ad_accounts as a
(account_id, workspace_id, name, currency, timezone, account_status)
values (%(account_id)s, %(workspace_id)s, %(name)s, %(currency)s, %(timezone)s, %(account_status)s)
on conflict (account_id) do update set
    name = excluded.name,
    currency = excluded.currency, timezone = excluded.timezone,
    account_status = excluded.account_status, updated_at = now()
where (a.name, a.currency, a.timezone, a.account_status) is distinct from
(excluded.name, excluded.currency, excluded.timezone, excluded.account_status)
